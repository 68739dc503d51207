"""The network that finds lines as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import nn

from hwrlib.common.files import atomic_write
from hwrlib.onnx.graph import IR_VERSION, OPSET, Graph, array, convolution
from hwrlib.pages.maps import ABOVE
from hwrlib.pages.network import UNIT, Block, LineNetwork


def to_onnx(network: LineNetwork, path: str | Path) -> Path:
    """Write a network for `hwrlib.pages.find.Network`: input `ink (1, 1, H, W)`, output `maps (1, 4, H / 4, W / 4)`.

    The 3 x 3 convolutions are stored in 8 bits, with a scale for each channel, and computed in 32.

    Raises:
        WriteError: the disk is full or protected; an old file at `path` is intact.
    """
    graph = Graph()
    quarter = _sequence(graph, network.quarter, _sequence(graph, network.stem, "ink"))
    eighth = _sequence(graph, network.eighth, quarter)
    up = _up(graph, convolution(graph, _sequence(graph, network.sixteenth, eighth), network.to_eighth, None))
    eighth = _block(graph, graph.add("Add", eighth, up), network.merge_eighth)
    up = _up(graph, convolution(graph, eighth, network.to_quarter, None))
    maps = convolution(graph, _block(graph, graph.add("Add", quarter, up), network.merge_quarter), network.maps, None)
    sections = graph.constant(np.int64([ABOVE, array(network.maps.weight).shape[0] - ABOVE]))
    graph.nodes.append(helper.make_node("Split", [maps, sections], ["logits", "heights"], axis=1))
    unit = graph.constant(np.float32([UNIT]))
    heights = graph.add("Mul", graph.add("Relu", "heights"), unit)
    graph.add("Concat", graph.add("Sigmoid", "logits"), heights, axis=1)
    graph.nodes[-1].output[0] = "maps"
    ink = helper.make_tensor_value_info("ink", TensorProto.FLOAT, [1, 1, "H", "W"])
    out = helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 4, "H4", "W4"])
    content = helper.make_graph(graph.nodes, "hwrlib", [ink], [out], graph.weights)
    proto = helper.make_model(content, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(proto, full_check=True)
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())
    return Path(path)


def _sequence(graph: Graph, layers: nn.Sequential, x: str) -> str:
    """Blocks, and convolutions each with its batch normalisation and ReLU."""
    layers = list(layers)
    for layer, following in zip(layers, [*layers[1:], None]):
        if isinstance(layer, nn.Sequential):
            x = _sequence(graph, layer, x)
        elif isinstance(layer, Block):
            x = _block(graph, x, layer)
        elif isinstance(layer, nn.Conv2d):
            x = convolution(graph, x, layer, following, bits=8)
        elif isinstance(layer, nn.ReLU):
            x = graph.add("Relu", x)
    return x


def _block(graph: Graph, x: str, block: Block) -> str:
    return graph.add("Relu", graph.add("Add", x, _sequence(graph, block.layers, x)))


def _up(graph: Graph, x: str) -> str:
    """Twice the resolution, each value four times."""
    scales = graph.constant(np.float32([1, 1, 2, 2]))
    return graph.add(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
