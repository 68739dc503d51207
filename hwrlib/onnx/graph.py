"""Building an ONNX graph node by node, with weights in 16 or 8 bits and batch normalisation folded into convolutions."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET, IR_VERSION = 17, 8


class Graph:
    """The nodes of an ONNX graph in order, and the weights they use; values are referred to by name."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Append a node; returns the name of its (first) output."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Store an array, floats in 16 bits; returns the name of the value, floats in 32 bits."""
        values = np.ascontiguousarray(values)
        is_float = np.issubdtype(values.dtype, np.floating)
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float16) if is_float else values, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if is_float else name

    def quantised(self, values: np.ndarray) -> str:
        """Store an array in 8 bits, with a scale for each of its first axis; returns the name of the value in 32 bits."""
        scale = np.abs(values).reshape(len(values), -1).max(axis=1).clip(min=1e-12) / 127
        levels = np.round(values / scale.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(levels, name))
        return self.add("DequantizeLinear", name, self.constant(scale.astype(np.float32)), axis=0)


def convolution(graph: Graph, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d | None, *, bits: int = 16) -> str:
    """A convolution; the batch normalisation after it becomes a scale and a shift of its weights, stored in 16 or 8 bits."""
    weight = array(layer.weight)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else array(layer.bias)
    if norm is not None:
        scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - array(norm.running_mean)) * scale + array(norm.bias)
    geometry = dict(kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=list(layer.padding) * 2)
    if layer.dilation != (1, 1):
        geometry["dilations"] = list(layer.dilation)
    stored = graph.quantised(weight) if bits == 8 else graph.constant(weight)
    return graph.add("Conv", x, stored, graph.constant(bias), **geometry)


def array(tensor: Tensor) -> np.ndarray:
    """A tensor as an array of 32-bit floats."""
    return tensor.detach().cpu().float().numpy()
