"""Write the features that ONNX Runtime computes with EfficientNet-Lite1 and 2: reference values for tests/it/encoder.rs.

    python3 scripts/lite_reference.py           (from the project's root; onnx 1.23, onnxruntime 1.32, numpy, safetensors,
                                                 pillow)

The PyTorch conversion of these networks pads for inputs of 240 and 260 px, so that scripts/encoder_reference.py cannot be
their reference at 224 px. Here stages are read off the shapes of the weights that scripts/setup.sh downloads, padding is
ONNX's SAME_UPPER, and batch-norms are not folded.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/fixtures/encoder"
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of the first block of each stage


def pattern(edge):
    """Return the image of scripts/encoder_reference.py, [3, edge, edge] bytes."""
    y, x = np.mgrid[:edge, :edge]
    return np.stack([(x * x + 3 * y) % 256, (5 * x + y * y) % 256, (x * y + 7 * x) % 256]).astype(np.uint8)


class Graph:
    def __init__(self, state):
        self.state, self.nodes, self.constants = state, [], []

    def add(self, operator, inputs, **settings):
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def constant(self, name, value=None):
        value = self.state[name] if value is None else value
        if all(known.name != name for known in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def unit(self, x, conv, norm, stride=1, depthwise=False, activated=True):
        kernels = self.state[f"{conv}.weight"]
        x = self.add("Conv", [x, self.constant(f"{conv}.weight")], auto_pad="SAME_UPPER", strides=[stride, stride],
                     group=kernels.shape[0] if depthwise else 1)
        parts = [self.constant(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        x = self.add("BatchNormalization", [x, *parts], epsilon=1e-3)
        if not activated:
            return x
        return self.add("Clip", [x, self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))])


def features(state, images):
    graph = Graph(state)
    x, stage, outputs, block = graph.unit("images", "_conv_stem", "_bn0", 2), -1, None, 0
    while (path := f"_blocks.{block}.") + "_project_conv.weight" in state:
        is_first = outputs != (outputs := state[f"{path}_project_conv.weight"].shape[0])
        stage, block, y = stage + is_first, block + 1, x
        if f"{path}_expand_conv.weight" in state:
            y = graph.unit(y, f"{path}_expand_conv", f"{path}_bn0")
        y = graph.unit(y, f"{path}_depthwise_conv", f"{path}_bn1", STRIDES[stage] if is_first else 1, True)
        y = graph.unit(y, f"{path}_project_conv", f"{path}_bn2", activated=False)
        x = y if is_first else graph.add("Add", [y, x])
    x = graph.unit(x, "_conv_head", "_bn1")
    x = graph.add("Flatten", [graph.add("GlobalAveragePool", [x])])
    made = helper.make_graph(graph.nodes, "lite", [helper.make_tensor_value_info("images", TensorProto.FLOAT, None)],
                             [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def main():
    tissue = np.asarray(Image.open(OUT / "tissue_224.png").convert("RGB")).transpose(2, 0, 1)
    images = (np.stack([pattern(224), tissue]).astype(np.float32) / 255 - 0.498) / 0.502
    answers = {}
    for kind in ("efficientnet_lite1", "efficientnet_lite2"):
        state = load_file(ROOT / f"models/weights/{kind}.safetensors")
        answers[kind] = features({name: np.float32(value) for name, value in state.items()}, images.astype(np.float32))
        print(kind, answers[kind].shape, np.abs(answers[kind]).mean(), answers[kind].std(0).mean())
    save_file(answers, OUT / "lite.safetensors")


main()
