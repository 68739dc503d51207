"""An exported model as a checkpoint: the weights out of the graph, to go on training or to read with PyTorch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from hwrlib.onnx.graph import CONSTANT, scale_of
from hwrlib.onnx.runtime import EXPORT, FORMAT


def load_content(path: str | Path) -> dict[str, Any]:
    """What a model checkpoint holds (see `hwrlib.models.checkpoint.save_model`), from a file that `to_onnx` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an ONNX file, not one of this package, or keeps weights in other files.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; write it with `{EXPORT}`")
    try:
        proto = onnx.load(path, load_external_data=False)
        metadata = json.loads({prop.key: prop.value for prop in proto.metadata_props}.get("hwrlib", "null"))
    except Exception as error:  # protobuf's, and whatever a stranger's bytes may do to it
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(f"{path}: not a readable ONNX file ({reason}); write it again with `{EXPORT}`") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT or "arguments" not in metadata:
        raise ValueError(
            f"{path}: no weights that this version of hwrlib can go on from ({FORMAT}); write it again with `{EXPORT}`"
        )
    try:
        return {**metadata, "model": _weights(proto.graph.initializer)}
    except Exception as error:
        raise ValueError(f"{path}: its weights cannot be read ({error}); write it again with `{EXPORT}`") from error


def _weights(stored: list[TensorProto]) -> dict[str, Tensor]:
    """Weights by their names in the model, as 32-bit floats."""
    if external := [tensor.name for tensor in stored if tensor.data_location != TensorProto.DEFAULT]:
        raise ValueError(f"{external[0]!r} is kept in another file")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored if not tensor.name.startswith(CONSTANT)}
    weights = {}
    for name, value in values.items():
        if name.endswith(scale_of("")):
            continue
        if value.dtype == np.int8:
            value = value * values[scale_of(name)]
        weights[name] = torch.from_numpy(value.astype(np.float32 if value.dtype.kind == "f" else value.dtype))
    return weights
