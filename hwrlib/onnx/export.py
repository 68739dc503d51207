"""A trained model as an ONNX file: it is read without torch, here (``OnnxModel``) or by any other ONNX runtime.

``python -m hwrlib.onnx CHECKPOINT FILE.onnx``. The file carries its charset and normalisation. Two things make it
small and fast: batch normalisation is folded into the convolutions, and weights are stored as 16-bit floats, which
the runtime widens once when it loads them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hwrlib import checkpoint
from hwrlib.charset import Charset
from hwrlib.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.model import CRNN, FULL_INK, BiLSTM, ColumnMax, ResidualBlock
from hwrlib.onnx.runtime import FORMAT

OPSET = 17
LSTM_GATES = (0, 3, 1, 2)   # torch stacks the gates input, forget, cell, output; ONNX input, output, forget, cell


class _Graph:
    """Nodes in order, each with one output; the weights they use."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        """Append a node; returns the name of its first output."""
        name = f"{kind}_{len(self.nodes)}"
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Integers as they are, floats in 16 bits; returns the name of the full-precision value."""
        values = np.ascontiguousarray(values)
        half = np.issubdtype(values.dtype, np.floating)
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float16) if half else values, name))
        return self.add("Cast", name, to=TensorProto.FLOAT) if half else name


def to_onnx(model: CRNN, charset: Charset, normalisation: Normalisation, path: str | Path, *,
            config: dict | None = None, metrics: dict | None = None) -> Path:
    """Write a model for :class:`hwrlib.onnx.runtime.OnnxModel`.

    Args:
        model: of which the path from images to ``log_probs`` is written, in evaluation mode.
        charset, normalisation, config, metrics: go along as metadata.
        path: the file, ``.onnx``.
    Returns:
        ``path``. Inputs: ``images (N, 1, H, W)`` uint8 and ``image_widths (N,)`` int64; output: ``log_probs (T, N, C)``.
    """
    graph = _Graph()
    ink = graph.add("Div", graph.add("Cast", "images", to=TensorProto.FLOAT),
                    graph.constant(np.float32([FULL_INK])))
    frames = graph.add("Transpose", _cnn(graph, model.cnn, ink), perm=[2, 0, 1])                       # (T, N, F)
    lengths = graph.add("Div", "image_widths", graph.constant(np.int64([model.stride])))
    frames = _rnn(graph, model.rnn, frames, lengths)                                                   # (T, N, 2 * H)
    logits = graph.add("Add", graph.add("MatMul", frames, graph.constant(_array(model.classifier.weight).T)),
                       graph.constant(_array(model.classifier.bias)))
    graph.add("LogSoftmax", logits, axis=-1)
    graph.nodes[-1].output[0] = "log_probs"
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes, "hwrlib",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, normalisation.height, "W"]),
             helper.make_tensor_value_info("image_widths", TensorProto.INT64, ["N"])],
            [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["T", "N", len(charset)])], graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(proto, {"hwrlib": json.dumps({
        "format": FORMAT, "characters": charset.characters, "normalisation": normalisation.as_dict(),
        "stride": model.stride, "config": config or {}, "metrics": metrics or {}})})
    onnx.checker.check_model(proto, full_check=True)
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())
    return Path(path)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy()


def _cnn(graph: _Graph, layers: nn.Sequential, x: str) -> str:
    """(N, 1, H, W) -> (N, F, T)."""
    layers = list(layers)
    for layer, following in zip(layers, [*layers[1:], None]):
        if isinstance(layer, nn.Conv2d):
            x = _convolution(graph, x, layer, following if isinstance(following, nn.BatchNorm2d) else None)
        elif isinstance(layer, nn.ReLU):
            x = graph.add("Relu", x)
        elif isinstance(layer, nn.MaxPool2d):
            x = graph.add("MaxPool", x, kernel_shape=[layer.kernel_size] * 2, strides=[layer.stride] * 2)
        elif isinstance(layer, ResidualBlock):
            y = graph.add("Relu", _convolution(graph, x, layer.conv1, layer.norm1))
            y = _convolution(graph, y, layer.conv2, layer.norm2)
            skip = x if isinstance(layer.project, nn.Identity) else _convolution(graph, x, layer.project, None)
            x = graph.add("Relu", graph.add("Add", y, skip))
        elif isinstance(layer, ColumnMax):
            x = graph.add("ReduceMax", x, axes=[2], keepdims=0)
        elif isinstance(layer, nn.Flatten):     # (N, F, H, T) -> (N, F * H, T)
            x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 3, 1, 2]), graph.constant(np.int64([0, 0, -1])))
            x = graph.add("Transpose", x, perm=[0, 2, 1])
        elif not isinstance(layer, nn.BatchNorm2d):
            raise TypeError(f"no rule to export a {type(layer).__name__}; add one to hwrlib.onnx.export")
    return x


def _convolution(graph: _Graph, x: str, layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> str:
    """A convolution, and the batch normalisation after it as a scale and a shift of its weights."""
    weight = _array(layer.weight)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias)
    if norm is not None:
        scale = _array(norm.weight) / np.sqrt(_array(norm.running_var) + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - _array(norm.running_mean)) * scale + _array(norm.bias)
    return graph.add("Conv", x, graph.constant(weight), graph.constant(bias),
                     kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=list(layer.padding) * 2)


def _rnn(graph: _Graph, rnn: BiLSTM, frames: str, lengths: str) -> str:
    """(T, N, F) -> (T, N, 2 * H). As in ``BiLSTM``, each line is turned round within its length: the lengths that ONNX's
    own LSTM takes, not every runtime heeds."""
    def gates(tensor: Tensor) -> np.ndarray:
        blocks = np.split(_array(tensor), 4)
        return np.concatenate([blocks[gate] for gate in LSTM_GATES])[None]

    def read(lstm: nn.LSTM, frames: str) -> str:
        biases = np.concatenate([gates(lstm.bias_ih_l0), gates(lstm.bias_hh_l0)], axis=1)
        weights = [graph.constant(values) for values in (gates(lstm.weight_ih_l0), gates(lstm.weight_hh_l0), biases)]
        states = graph.add("LSTM", frames, *weights, hidden_size=lstm.hidden_size)             # (T, 1, N, H)
        return graph.add("Squeeze", states, graph.constant(np.int64([1])))

    def turned(frames: str) -> str:
        return graph.add("ReverseSequence", frames, lengths, time_axis=0, batch_axis=1)

    for onwards, back in zip(rnn.forwards, rnn.backwards):
        frames = graph.add("Concat", read(onwards, frames), turned(read(back, turned(frames))), axis=-1)
    return frames


def main() -> None:
    """``python -m hwrlib.onnx CHECKPOINT FILE.onnx``."""
    parser = argparse.ArgumentParser(description="Write a trained model as an ONNX file.")
    parser.add_argument("checkpoint", help="shipped weights by name, a checkpoint's file, or a run's folder")
    parser.add_argument("file", help="the ONNX file to write")
    arguments = parser.parse_args()
    model, charset, normalisation, about = checkpoint.load_model(checkpoint.find_checkpoint(arguments.checkpoint))
    path = to_onnx(model, charset, normalisation, arguments.file, **about)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; Recognizer.from_checkpoint({str(path)!r}) reads with it")


if __name__ == "__main__":
    main()
