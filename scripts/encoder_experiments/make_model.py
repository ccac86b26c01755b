"""Write a model's folder from trained blocks: the network as 16-bit numbers, and a readout fitted with views.

    make_model.py WEIGHTS.safetensors JUDGED.npz VIEWS OUT [BLOCKS.safetensors ...]

The network is that of WEIGHTS.safetensors with the mean of the BLOCKS in place of its last blocks. Its readout is fitted on
the tissue of all sections in JUDGED.npz, without labels, and on the archive's VIEWS. OUT gets backbone.safetensors and
head.safetensors, without BLOCKS only the head; model.toml and card.md are written by hand.
"""

import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

import backbone
import judge
from readout import Readouts, view_moments


def unmerged(block, number):
    """Return a block's parameters by torchvision's names; its normalisation changes nothing but adds the bias."""
    named = {}
    for convolution, norm, part in backbone.names(number):
        kernel, bias = np.asarray(block[part]["kernel"]), np.asarray(block[part]["bias"])
        kernel = kernel[:, :, None] if part == "depth" else kernel[None, None]
        named[f"{convolution}.weight"] = kernel.transpose(3, 2, 0, 1)
        named[f"{norm}.weight"], named[f"{norm}.bias"] = np.ones_like(bias), bias
        named[f"{norm}.running_mean"] = np.zeros_like(bias)
        named[f"{norm}.running_var"] = np.full_like(bias, 1 - backbone.EPSILON)
    return named


def write_network(weights, paths, file):
    start = backbone.load(weights)[backbone.FIRST :]
    learned = backbone.mean([backbone.load_blocks(path, start) for path in paths])
    state = {name: values for name, values in load_file(weights).items() if name.startswith("features.")}
    state = {name: values for name, values in state.items() if np.issubdtype(values.dtype, np.floating)}
    for number, block in enumerate(learned, backbone.FIRST):
        named = unmerged(block, number)
        if {name: values.shape for name, values in named.items()} != {name: state[name].shape for name in named}:
            sys.exit(f"block {number} has other parameters than {weights}")
        state.update(named)
    halves = {name: np.ascontiguousarray(values, np.float16) for name, values in state.items()}
    if not all(np.isfinite(values).all() for values in halves.values()):
        sys.exit(f"a parameter of {weights} is too large for 16 bits")
    save_file(halves, file)


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    weights, judged, views, out = (pathlib.Path(argument) for argument in sys.argv[1:5])
    out.mkdir(parents=True, exist_ok=True)
    network = weights
    if len(sys.argv) > 5:
        network = out / "backbone.safetensors"
        write_network(weights, sys.argv[5:], network)

    # The readout is that of the network as it was written.
    tissue = np.load(judged)
    blocks = backbone.load(network)[backbone.FIRST :]
    archive = view_moments(judge.features_of_views(blocks, views))
    matrix, mean = Readouts(tissue).fitted(backbone.pooled(blocks, tissue["tissue"]), archive)(None)
    largest = np.abs(matrix).argmax(1)[:, None]
    matrix *= np.sign(np.take_along_axis(matrix, largest, 1))
    head = {"head.weight": np.float32(matrix), "head.bias": np.float32(-matrix @ mean)}
    save_file(head, out / "head.safetensors")
    print(len(tissue["tissue"]), "tiles of tissue")


if __name__ == "__main__":
    main()
