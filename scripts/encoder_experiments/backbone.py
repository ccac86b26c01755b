"""MobileNetV2 in JAX, from torchvision's names of parameters, in two parts: frozen blocks, and blocks that learn.

Tensors are [N, height, width, channels]. Normalisation is merged into the convolutions: its statistics stay those of
ImageNet, so that merging changes nothing but the time.
"""

import jax
import numpy as np
from jax import numpy as jnp
from safetensors.numpy import load_file, save_file

FIRST, LAST = 14, 16  # blocks that may be trained; the readout takes the blocks 13 and 16
MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
# Blocks that halve height and width (Sandler et al. 2018, table 2); block 0 is a full convolution.
HALVING = (0, 2, 4, 7, 14)
EPSILON = 1e-5  # of normalisation


def names(number):
    """Return the names of the convolutions of a block, each with that of its normalisation, and its part here."""
    at = f"features.{number}"
    if number == 0:
        return [(f"{at}.0", f"{at}.1", "full")]
    if number == 1:
        return [(f"{at}.conv.0.0", f"{at}.conv.0.1", "depth"), (f"{at}.conv.1", f"{at}.conv.2", "project")]
    return [
        (f"{at}.conv.0.0", f"{at}.conv.0.1", "expand"),
        (f"{at}.conv.1.0", f"{at}.conv.1.1", "depth"),
        (f"{at}.conv.2", f"{at}.conv.3", "project"),
    ]


def load(weights):
    """Return the parameters of the blocks 0 to 16, a dict of parts each."""
    state, blocks = {name: np.float32(values) for name, values in load_file(weights).items()}, []
    for number in range(LAST + 1):
        block = {}
        for convolution, norm, part in names(number):
            scale = state[f"{norm}.weight"] / np.sqrt(state[f"{norm}.running_var"] + EPSILON)
            kernel = state[f"{convolution}.weight"] * scale[:, None, None, None]
            kernel = kernel.transpose(2, 3, 1, 0)  # rows, columns, inputs, outputs
            if part == "depth":
                kernel = kernel[:, :, 0]
            elif part != "full":
                kernel = kernel[0, 0]
            bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
            block[part] = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
        blocks.append(block)
    return blocks


def depthwise(x, kernel, stride):
    """Convolve each channel with its 3 × 3 kernel, as nine products: XLA's grouped convolution is slow on processors."""
    height, width = ((edge - 1) // stride + 1 for edge in x.shape[1:3])
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = (height - 1) * stride + 1, (width - 1) * stride + 1
    return sum(
        x[:, row : row + rows : stride, column : column + columns : stride] * kernel[row, column]
        for row in range(3)
        for column in range(3)
    )


def apply(block, x, number):
    """Return the output of a block."""
    stride = 2 if number in HALVING else 1
    if number == 0:
        kernel, order = block["full"]["kernel"], ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=order)
        return jnp.clip(y + block["full"]["bias"], 0, 6)
    y = x
    if "expand" in block:
        y = jnp.clip(y @ block["expand"]["kernel"] + block["expand"]["bias"], 0, 6)
    y = jnp.clip(depthwise(y, block["depth"]["kernel"], stride) + block["depth"]["bias"], 0, 6)
    y = y @ block["project"]["kernel"] + block["project"]["bias"]
    return x + y if y.shape == x.shape else y


def blocks(parameters, x, first):
    """Return the output of the blocks from `first` on, as many as `parameters` has."""
    for number, block in enumerate(parameters, first):
        x = apply(block, x, number)
    return x


@jax.jit
def _frozen(parameters, tiles):
    return blocks(parameters, (tiles.astype(jnp.float32) - MEAN) / STD, 0)


def frozen(parameters, tiles, first, batch=32):
    """Return the outputs of the block before `first`, [N, 7, 7, channels] 16-bit numbers for tiles of 112 px."""
    return batched(lambda part: _frozen(parameters[:first], part), tiles, batch).astype(np.float16)


@jax.jit
def _pooled(parameters, maps):
    return blocks(parameters, maps.astype(jnp.float32), LAST + 1 - len(parameters)).mean((1, 2))


def pooled(parameters, maps, batch=256):
    """Return the pooled features of blocks 13 and 16 from outputs of block 13, [N, 96 + 160]."""
    low = maps.mean((1, 2), dtype=np.float32)
    return np.concatenate([low, batched(lambda part: _pooled(parameters, part), maps, batch)], 1)


def batched(function, rows, batch):
    """Apply a function to equal batches, the last one padded, so that it is compiled once."""
    parts = []
    for at in range(0, len(rows), batch):
        part = rows[at : at + batch]
        missing = batch - len(part)
        full = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part
        parts.append(np.asarray(function(full))[: len(part)])
    return np.concatenate(parts)


def mixed(one, two, share):
    """Return the mean of two sets of parameters, with a share of the second."""
    return jax.tree.map(lambda a, b: (1 - share) * a + share * b, one, two)


def mean(several):
    """Return the mean of several sets of parameters (Wortsman et al. 2022, "Model soups")."""
    return jax.tree.map(lambda *values: sum(values) / len(values), *several)


def save_blocks(path, parameters):
    parts = jax.tree.leaves_with_path(parameters)
    save_file({jax.tree_util.keystr(name): np.ascontiguousarray(value) for name, value in parts}, path)


def load_blocks(path, like):
    """Return what save_blocks wrote, in the structure of `like`."""
    file = load_file(path)
    return jax.tree_util.tree_map_with_path(lambda name, _: jnp.asarray(file[jax.tree_util.keystr(name)]), like)
