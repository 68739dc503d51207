"""Write a trained model as an ONNX file, which `hwrlib.onnx.runtime` or any other ONNX runtime reads without torch.

`python -m hwrlib.onnx CHECKPOINT FILE.onnx` is the command. The file contains its charset and normalisation. Two things
make it small and fast: batch normalisation is folded into the convolutions, and weights are stored as 16-bit floats,
which the runtime converts to 32 bits once, when it loads them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import Tensor, nn

from hwrlib import checkpoint
from hwrlib.charset import Charset
from hwrlib.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.model import CRNN, FULL_INK, BiLSTM, ColumnMax, ResidualBlock
from hwrlib.onnx.graph import IR_VERSION, OPSET, Graph, array, convolution
from hwrlib.onnx.runtime import EXPORT, FORMAT
from hwrlib.recognizer import LANGUAGE_SUFFIX

LSTM_GATES = (0, 3, 1, 2)  # torch stacks the gates as input, forget, cell, output; ONNX as input, output, forget, cell


def to_onnx(
    model: CRNN,
    charset: Charset,
    normalisation: Normalisation,
    path: str | Path,
    *,
    config: dict | None = None,
    metrics: dict | None = None,
) -> Path:
    """Write a model for `hwrlib.onnx.runtime.OnnxModel`.

    Args:
        model: exported as it reads in evaluation mode; the shortcut head, which only training uses, is not exported.
        charset, normalisation, config, metrics: stored as metadata.
        path: the file to write, `.onnx`.
    Returns:
        `path`. Inputs: `images (N, 1, H, W)` uint8 and `image_widths (N,)` int64; output: `log_probs (T, N, C)`.
    Raises:
        TypeError: there is no export rule for one of the CNN's layers.
        WriteError: the disk is full or protected; an old file at `path` is intact.
    """
    graph = _graph_of(model, normalisation.height, len(charset))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    metadata = {
        "format": FORMAT,
        "characters": charset.characters,
        "normalisation": normalisation.as_dict(),
        "stride": model.stride,
        "config": config or {},
        "metrics": metrics or {},
    }
    helper.set_model_props(proto, {"hwrlib": json.dumps(metadata)})
    onnx.checker.check_model(proto, full_check=True)
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())
    return Path(path)


def _graph_of(model: CRNN, height: int, num_classes: int) -> onnx.GraphProto:
    """A model's graph, with its inputs and outputs declared."""
    graph = Graph()
    _crnn(graph, model)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, height, "W"])
    image_widths = helper.make_tensor_value_info("image_widths", TensorProto.INT64, ["N"])
    log_probs = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["T", "N", num_classes])
    return helper.make_graph(graph.nodes, "hwrlib", [images, image_widths], [log_probs], graph.weights)


def _crnn(graph: Graph, model: CRNN) -> None:
    """`CRNN.forward`: `images (N, 1, H, W)` and `image_widths (N,)` -> `log_probs (T, N, C)`."""
    ink = graph.add("Div", graph.add("Cast", "images", to=TensorProto.FLOAT), graph.constant(np.float32([FULL_INK])))
    frames = graph.add("Transpose", _cnn(graph, model.cnn, ink), perm=[2, 0, 1])  # (T, N, F)
    lengths = graph.add("Div", "image_widths", graph.constant(np.int64([model.stride])))  # (N,)
    frames = _bilstm(graph, model.rnn, frames, lengths)  # (T, N, 2 * hidden)
    logits = graph.add("MatMul", frames, graph.constant(array(model.classifier.weight).T))
    logits = graph.add("Add", logits, graph.constant(array(model.classifier.bias)))  # (T, N, C)
    graph.add("LogSoftmax", logits, axis=-1)
    graph.nodes[-1].output[0] = "log_probs"


def _cnn(graph: Graph, layers: nn.Sequential, x: str) -> str:
    """(N, 1, H, W) -> (N, F, T)."""
    layers = list(layers)
    for layer, following in zip(layers, [*layers[1:], None]):
        if isinstance(layer, nn.Conv2d):
            x = convolution(graph, x, layer, following if isinstance(following, nn.BatchNorm2d) else None)
        elif isinstance(layer, nn.ReLU):
            x = graph.add("Relu", x)
        elif isinstance(layer, nn.MaxPool2d):
            x = graph.add("MaxPool", x, kernel_shape=[layer.kernel_size] * 2, strides=[layer.stride] * 2)
        elif isinstance(layer, ResidualBlock):
            x = _residual_block(graph, x, layer)
        elif isinstance(layer, ColumnMax):
            x = graph.add("ReduceMax", x, axes=[2], keepdims=0)
        elif isinstance(layer, nn.Flatten):  # (N, F, H, T) -> (N, F * H, T)
            x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 3, 1, 2]), graph.constant(np.int64([0, 0, -1])))
            x = graph.add("Transpose", x, perm=[0, 2, 1])
        elif not isinstance(layer, nn.BatchNorm2d):  # folded into the convolution before it
            raise TypeError(f"no rule to export a {type(layer).__name__}; add one to hwrlib.onnx.export")
    return x


def _residual_block(graph: Graph, x: str, block: ResidualBlock) -> str:
    y = graph.add("Relu", convolution(graph, x, block.conv1, block.norm1))
    y = convolution(graph, y, block.conv2, block.norm2)
    skip = x if isinstance(block.project, nn.Identity) else convolution(graph, x, block.project, None)
    return graph.add("Relu", graph.add("Add", y, skip))


def _bilstm(graph: Graph, rnn: BiLSTM, frames: str, lengths: str) -> str:
    """(T, N, F) -> (T, N, 2 * hidden), each line reversed within its own length as in `BiLSTM`.

    ONNX's own bidirectional LSTM takes lengths, too, but not every runtime respects them.
    """

    def reversed_within_length(frames: str) -> str:
        return graph.add("ReverseSequence", frames, lengths, time_axis=0, batch_axis=1)

    for forward, backward in zip(rnn.forwards, rnn.backwards):
        forward_states = _lstm(graph, forward, frames)
        backward_states = _lstm(graph, backward, reversed_within_length(frames))
        frames = graph.add("Concat", forward_states, reversed_within_length(backward_states), axis=-1)
    return frames


def _lstm(graph: Graph, lstm: nn.LSTM, frames: str) -> str:
    """One layer in one direction: (T, N, F) -> (T, N, hidden)."""
    weights = [_in_onnx_order(lstm.weight_ih_l0), _in_onnx_order(lstm.weight_hh_l0)]
    weights += [np.concatenate([_in_onnx_order(lstm.bias_ih_l0), _in_onnx_order(lstm.bias_hh_l0)], axis=1)]
    states = graph.add("LSTM", frames, *map(graph.constant, weights), hidden_size=lstm.hidden_size)  # (T, 1, N, hidden)
    return graph.add("Squeeze", states, graph.constant(np.int64([1])))


def _in_onnx_order(weights: Tensor) -> np.ndarray:
    """An LSTM's weights (4 * hidden, ...) with the gates in ONNX's order and one direction: (1, 4 * hidden, ...)."""
    gates = np.split(array(weights), 4)
    return np.concatenate([gates[gate] for gate in LSTM_GATES])[None]


def main() -> None:
    """`python -m hwrlib.onnx CHECKPOINT FILE.onnx`."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.onnx", description="Write a trained model as an ONNX file.")
    parser.add_argument("checkpoint", help="shipped weights by name, a checkpoint file, or a run's folder")
    parser.add_argument("file", help="the file to write; its name ends in .onnx")
    arguments = parser.parse_args()
    try:
        path = _export(arguments.checkpoint, Path(arguments.file))
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; read with it: Recognizer.from_checkpoint({str(path)!r})")


def _export(source: str, file: Path) -> Path:
    if file.suffix.lower() != ".onnx":
        raise ValueError(f"{file}: the name must end in .onnx, by which Recognizer.from_checkpoint recognises such files")
    found = checkpoint.find_checkpoint(source)
    if found.suffix.lower() == ".onnx":
        raise ValueError(f"{found}: this is an ONNX file already; name a checkpoint (.pth): `{EXPORT}`")
    model, charset, normalisation, record = checkpoint.load_model(found)
    to_onnx(model, charset, normalisation, file, **record)
    language, copied = found.with_suffix(LANGUAGE_SUFFIX), file.with_suffix(LANGUAGE_SUFFIX)
    if not language.is_file():
        copied.unlink(missing_ok=True)  # of another model that was exported under this name
    elif language.resolve() != copied.resolve():
        with atomic_write(copied) as copy:
            copy.write(language.read_bytes())
    return file
