"""Write a trained model as an ONNX file, which `hwrlib.onnx.runtime` or any other ONNX runtime reads without torch.

    python -m hwrlib.models.export CHECKPOINT FILE.onnx [--bits 8]

The file is a checkpoint, too (`hwrlib.onnx.checkpoint`): it holds the charset, the normalisation, and all weights under
their names in the model, as 16-bit floats or, with `--bits 8`, in half of that. With `--bits 7` the file is as large, but
takes less room in archives and repositories. What follows from weights alone (32-bit floats, batch normalisation as part of
the convolutions, LSTM gates in ONNX's order), the runtime computes once, when it loads the file.
"""

import argparse
import json
from pathlib import Path

from hwrlib.common.extras import require

require("train", "exporting a model", "torch", "onnx", command=__name__ == "__main__")

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from hwrlib.charset import Charset
from hwrlib.common.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.model import CRNN, FULL_INK, BiLSTM, ColumnMax, ResidualBlock
from hwrlib.models.checkpoint import load_model
from hwrlib.models.locate import find_checkpoint
from hwrlib.models.recognizer import LANGUAGE_SUFFIX
from hwrlib.onnx.graph import IR_VERSION, OPSET, Graph, geometry
from hwrlib.onnx.runtime import FORMAT

BITS = (*range(2, 9), 16)  # in which matrices can be stored
LSTM_GATES = (0, 3, 1, 2)  # torch stacks the gates as input, forget, cell, output; ONNX as input, output, forget, cell


def to_onnx(
    model: CRNN,
    charset: Charset,
    normalisation: Normalisation,
    path: str | Path,
    *,
    config: dict | None = None,
    metrics: dict | None = None,
    bits: int = 16,
) -> Path:
    """Write a model for `hwrlib.onnx.runtime.OnnxModel` and `hwrlib.models.load_model`.

    Args:
        model: the graph reads as it does in evaluation mode; the shortcut head, which only training uses, is stored beside.
        charset, normalisation, config, metrics: stored as metadata.
        path: the file to write, `.onnx`.
        bits: of the matrices' weights: 16, or from 2 to 8, in a byte each, with a scale for each row.
    Returns:
        `path`. Inputs: `images (N, 1, H, W)` uint8 and `image_widths (N,)` int64; output: `log_probs (T, N, C)`.
    Raises:
        ValueError: matrices cannot be stored in so many bits.
        TypeError: there is no export rule for one of the CNN's layers.
        WriteError: the disk is full or protected; an old file at `path` is intact.
    """
    if bits not in BITS:
        raise ValueError(f"bits must be {', '.join(map(str, BITS[:-1]))} or {BITS[-1]}, not {bits!r}")
    graph = _graph_of(model, normalisation.height, len(charset), bits)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    metadata = {
        "format": FORMAT,
        "arguments": model.arguments,
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


class ModelGraph(Graph):
    """A graph whose stored values are a model's weights, under their names in its `state_dict`.

    Args:
        model: whose weights they are.
        bits: of those with more than one dimension; the others have 32.
    """

    def __init__(self, model: CRNN, bits: int):
        super().__init__()
        self.remaining = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
        self.bits = bits

    def weight(self, name: str) -> str:
        """Store a weight; returns the name of the value in 32 bits."""
        values = self.remaining.pop(name)
        if values.ndim < 2:
            return self.store(values, name)
        return self.matrix(values, name, bits=self.bits)


def _graph_of(model: CRNN, height: int, num_classes: int, bits: int) -> onnx.GraphProto:
    """A model's graph, with its inputs and outputs declared."""
    graph = ModelGraph(model, bits)
    _crnn(graph, model)
    nodes = list(graph.nodes)
    for name in list(graph.remaining):  # of the shortcut head, and counters: stored, though no node uses them
        graph.weight(name)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 1, height, "W"])
    image_widths = helper.make_tensor_value_info("image_widths", TensorProto.INT64, ["N"])
    log_probs = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["T", "N", num_classes])
    return helper.make_graph(nodes, "hwrlib", [images, image_widths], [log_probs], graph.weights)


def _crnn(graph: ModelGraph, model: CRNN) -> None:
    """`CRNN.forward`: `images (N, 1, H, W)` and `image_widths (N,)` -> `log_probs (T, N, C)`."""
    ink = graph.add("Div", graph.add("Cast", "images", to=TensorProto.FLOAT), graph.constant(np.float32([FULL_INK])))
    frames = graph.add("Transpose", _cnn(graph, model.cnn, ink), perm=[2, 0, 1])  # (T, N, F)
    lengths = graph.add("Div", "image_widths", graph.constant(np.int64([model.stride])))  # (N,)
    frames = _bilstm(graph, model.rnn, frames, lengths)  # (T, N, 2 * hidden)
    logits = graph.add("MatMul", frames, graph.add("Transpose", graph.weight("classifier.weight"), perm=[1, 0]))
    logits = graph.add("Add", logits, graph.weight("classifier.bias"))  # (T, N, C)
    graph.add("LogSoftmax", logits, axis=-1)
    graph.nodes[-1].output[0] = "log_probs"


def _cnn(graph: ModelGraph, layers: nn.Sequential, x: str, prefix: str = "cnn") -> str:
    """(N, 1, H, W) -> (N, F, T)."""
    for part, layer in layers.named_children():
        name = f"{prefix}.{part}"
        if isinstance(layer, nn.Sequential):
            x = _cnn(graph, layer, x, name)
        elif isinstance(layer, nn.Conv2d):
            x = _convolution(graph, x, layer, name)
        elif isinstance(layer, nn.BatchNorm2d):
            x = _batch_norm(graph, x, layer, name)
        elif isinstance(layer, nn.ReLU):
            x = graph.add("Relu", x)
        elif isinstance(layer, nn.MaxPool2d):
            x = graph.add("MaxPool", x, kernel_shape=[layer.kernel_size] * 2, strides=[layer.stride] * 2)
        elif isinstance(layer, ResidualBlock):
            x = _residual_block(graph, x, layer, name)
        elif isinstance(layer, ColumnMax):
            x = graph.add("ReduceMax", x, axes=[2], keepdims=0)
        elif isinstance(layer, nn.Flatten):  # (N, F, H, T) -> (N, F * H, T)
            x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 3, 1, 2]), graph.constant(np.int64([0, 0, -1])))
            x = graph.add("Transpose", x, perm=[0, 2, 1])
        else:
            raise TypeError(f"no rule to export a {type(layer).__name__}; add one to hwrlib.models.export")
    return x


def _residual_block(graph: ModelGraph, x: str, block: ResidualBlock, name: str) -> str:
    y = _batch_norm(graph, _convolution(graph, x, block.conv1, f"{name}.conv1"), block.norm1, f"{name}.norm1")
    y = _convolution(graph, graph.add("Relu", y), block.conv2, f"{name}.conv2")
    y = _batch_norm(graph, y, block.norm2, f"{name}.norm2")
    skip = x if isinstance(block.project, nn.Identity) else _convolution(graph, x, block.project, f"{name}.project")
    return graph.add("Relu", graph.add("Add", y, skip))


def _convolution(graph: ModelGraph, x: str, layer: nn.Conv2d, name: str) -> str:
    weights = [graph.weight(f"{name}.weight")] + ([] if layer.bias is None else [graph.weight(f"{name}.bias")])
    return graph.add("Conv", x, *weights, **geometry(layer))


def _batch_norm(graph: ModelGraph, x: str, layer: nn.BatchNorm2d, name: str) -> str:
    weights = [graph.weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    return graph.add("BatchNormalization", x, *weights, epsilon=layer.eps)


def _bilstm(graph: ModelGraph, rnn: BiLSTM, frames: str, lengths: str) -> str:
    """(T, N, F) -> (T, N, 2 * hidden), each line reversed within its own length as in `BiLSTM`.

    ONNX's own bidirectional LSTM takes lengths, too, but not every runtime respects them.
    """

    def reversed_within_length(frames: str) -> str:
        return graph.add("ReverseSequence", frames, lengths, time_axis=0, batch_axis=1)

    for layer, lstm in enumerate(rnn.forwards):
        forward_states = _lstm(graph, lstm.hidden_size, f"rnn.forwards.{layer}", frames)
        backward_states = _lstm(graph, lstm.hidden_size, f"rnn.backwards.{layer}", reversed_within_length(frames))
        frames = graph.add("Concat", forward_states, reversed_within_length(backward_states), axis=-1)
    return frames


def _lstm(graph: ModelGraph, hidden: int, name: str, frames: str) -> str:
    """One layer in one direction: (T, N, F) -> (T, N, hidden)."""
    rows = np.arange(4 * hidden).reshape(4, hidden)[list(LSTM_GATES)].reshape(-1)  # of torch's weights, in ONNX's order
    order, direction = graph.constant(rows.astype(np.int64)), graph.constant(np.int64([0]))

    def in_onnx_order(part: str) -> str:
        return graph.add("Gather", graph.weight(f"{name}.{part}_l0"), order, axis=0)

    biases = graph.add("Concat", in_onnx_order("bias_ih"), in_onnx_order("bias_hh"), axis=0)
    weights = [
        graph.add("Unsqueeze", w, direction) for w in (in_onnx_order("weight_ih"), in_onnx_order("weight_hh"), biases)
    ]
    states = graph.add("LSTM", frames, *weights, hidden_size=hidden)  # (T, 1, N, hidden)
    return graph.add("Squeeze", states, graph.constant(np.int64([1])))


def main() -> None:
    """`python -m hwrlib.models.export CHECKPOINT FILE.onnx`."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.onnx", description="Write a trained model as an ONNX file.")
    parser.add_argument("checkpoint", help="shipped weights by name, a checkpoint file, or a run's folder")
    parser.add_argument("file", help="the file to write; its name ends in .onnx")
    parser.add_argument(
        "--bits", type=int, choices=BITS, default=16, help="of the weights; 8 or fewer: a byte (default: 16)"
    )
    arguments = parser.parse_args()
    try:
        path = _export(arguments.checkpoint, Path(arguments.file), arguments.bits)
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; read with it: Recognizer.from_checkpoint({str(path)!r})")


def _export(source: str, file: Path, bits: int) -> Path:
    if file.suffix.lower() != ".onnx":
        raise ValueError(f"{file}: the name must end in .onnx, by which Recognizer.from_checkpoint recognises such files")
    found = find_checkpoint(source)
    model, charset, normalisation, record = load_model(found)
    to_onnx(model, charset, normalisation, file, bits=bits, **record)
    language, copied = found.with_suffix(LANGUAGE_SUFFIX), file.with_suffix(LANGUAGE_SUFFIX)
    if not language.is_file():
        copied.unlink(missing_ok=True)  # of another model that was exported under this name
    elif language.resolve() != copied.resolve():
        with atomic_write(copied) as copy:
            copy.write(language.read_bytes())
    return file
