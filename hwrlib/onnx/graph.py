"""Building an ONNX graph node by node: weights in 16 bits or at most 8, batch normalisation folded into convolutions."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET, IR_VERSION = 17, 8
CONSTANT = "constant_"  # what the names of stored values without a name of their own begin with


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

    def store(self, values: np.ndarray, name: str = "") -> str:
        """Store an array as it is; returns its name."""
        name = name or f"{CONSTANT}{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def constant(self, values: np.ndarray, name: str = "") -> str:
        """Store an array, floats in 16 bits; returns the name of the value, floats in 32 bits."""
        if not np.issubdtype(values.dtype, np.floating):
            return self.store(values, name)
        return self.add("Cast", self.store(values.astype(np.float16), name), to=TensorProto.FLOAT)

    def matrix(self, values: np.ndarray, name: str = "", *, bits: int) -> str:
        """Store an array in 16 bits, or in fewer, with scales; returns the name of the value in 32 bits."""
        return self.constant(values, name) if bits == 16 else self.quantised(values, name, bits=bits)

    def quantised(self, values: np.ndarray, name: str = "", *, bits: int) -> str:
        """Store an array in bytes, with a scale for each of its first axis; returns the name of the value in 32 bits.

        The runtime multiplies once, when it loads the file.
        """
        levels, scale = quantise(values, bits)
        level = self.add("Cast", self.store(levels, name), to=TensorProto.FLOAT)
        return self.add("Mul", level, self.store(scale, scale_of(name) if name else ""))


def quantise(values: np.ndarray, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, ...) as levels of 2 to 8 bits and 32-bit scales (n, 1, ...): `levels * scale` is close to them.

    Levels are stored as bytes whatever their bits; those with fewer bits compress better.
    """
    scale = np.abs(values).reshape(len(values), -1).max(axis=1).clip(min=1e-12) / (2 ** (bits - 1) - 1)
    scale = scale.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    return np.round(values / scale).astype(np.int8), scale


def scale_of(name: str) -> str:
    """The name under which the scales of a quantised weight are stored."""
    return f"{name}:scale"


def convolution(graph: Graph, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d | None, *, bits: int = 16) -> str:
    """A convolution; the batch normalisation after it becomes a scale and a shift of its weights."""
    weight = array(layer.weight)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else array(layer.bias)
    if norm is not None:
        scale = array(norm.weight) / np.sqrt(array(norm.running_var) + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - array(norm.running_mean)) * scale + array(norm.bias)
    return graph.add("Conv", x, graph.matrix(weight, bits=bits), graph.constant(bias), **geometry(layer))


def geometry(layer: nn.Conv2d) -> dict[str, list[int]]:
    """The attributes of a convolution's node."""
    sizes = dict(kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=list(layer.padding) * 2)
    return sizes if layer.dilation == (1, 1) else sizes | {"dilations": list(layer.dilation)}


def array(tensor: Tensor) -> np.ndarray:
    """A tensor as an array of 32-bit floats."""
    return tensor.detach().cpu().float().numpy()
