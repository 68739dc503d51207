"""Checkpoints: written so that a kill never leaves half a file, read so that a foreign file never runs code.

A model checkpoint (`best_model.pth`, `epoch_3_model_checkpoint.pth`) is all that reading needs: weights, charset,
normalisation, and the configuration and metrics of its training. `resume.pth` holds what training needs besides.
Shipped weights (`weights/`) are ONNX files made of such checkpoints, each with its model card.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwrlib.charset import Charset
from hwrlib.common.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.model import CRNN

FORMAT = "hwrlib-1"


# Files ---------------------------------------------------------------------------------------------------------------


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write a dictionary of tensors and plain values; a kill leaves the whole new file or the whole old one.

    Raises:
        WriteError: the disk is full or read-only; the old file is intact.
    """
    serialised = io.BytesIO()  # torch would hide the system's error if it wrote to the file itself
    torch.save({"format": FORMAT, **content}, serialised)
    with atomic_write(path) as file:
        file.write(serialised.getbuffer())


def load_safely(path: str | Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what `save_atomically` wrote; only tensors and plain values are accepted, no pickled code is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, not a checkpoint of this package, of another version, or holds code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; train one with notebook 02, or name another")
    _check_archive(path)
    try:
        device = torch.device(device)  # Accelerate calls the processor of several processes cpu:0, which torch.load rejects
        content = torch.load(path, map_location="cpu" if device.type == "cpu" else device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path}: rejected, because it holds more than tensors and plain values, and loading it could "
            "run code; use a checkpoint that hwrlib saved"
        ) from error
    except PermissionError:
        raise
    except Exception as error:  # damaged pickles make torch's reader fail in many ways
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise ValueError(f"{path}: damaged or cut short ({reason}); use another checkpoint") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: not a checkpoint of this version of hwrlib ({FORMAT}), but {found!r}; train it again")
    return content


def _check_archive(path: Path) -> None:
    """Reject an archive that would unpack to more than its size: torch.save compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception:  # no archive, or a damaged one: torch will say which
        return
    unpacked = sum(member.file_size for member in members)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or unpacked > path.stat().st_size:
        raise ValueError(f"{path}: rejected, because its contents are compressed; use a checkpoint that hwrlib saved")


# Models --------------------------------------------------------------------------------------------------------------


def save_model(
    path: Path,
    *,
    model: CRNN,
    charset: Charset,
    normalisation: Normalisation,
    config: dict[str, Any],
    metrics: dict[str, float],
) -> None:
    """Save all that reading needs."""
    save_atomically(
        {
            "arguments": model.arguments,
            "model": model.state_dict(),
            "characters": charset.characters,
            "normalisation": normalisation.as_dict(),
            "config": config,
            "metrics": metrics,
        },
        path,
    )


def load_model(
    path: str | Path, *, device: str | torch.device = "cpu"
) -> tuple[CRNN, Charset, Normalisation, dict[str, Any]]:
    """A model ready to read, its charset and normalisation, and a dictionary of its `config` and `metrics`.

    Args:
        path: of a checkpoint, or of an ONNX file made of one.
        device: where the model will be.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is rejected (see `load_safely`), or its parts do not fit together.
    """
    if Path(path).suffix.lower() == ".onnx":
        from hwrlib.onnx.checkpoint import load_content  # imports onnx, which other checkpoints do without

        content = load_content(path)
    else:
        content = load_safely(path, device=device)
    try:
        arguments = _current(content["arguments"])
        weights = named_by_stage(content["model"], arguments)
        _check_weights(arguments, weights)
        charset, normalisation = Charset(content["characters"]), Normalisation(**content["normalisation"])
        record = {key: dict(content.get(key, {})) for key in ("config", "metrics")}
        model = CRNN(**arguments)
        model.load_state_dict(weights)
    except Exception as error:  # whatever a stranger's values may do to the constructors
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(f"{path}: its parts do not fit this version of hwrlib ({reason}); train it again") from error
    if len(charset) != arguments["num_classes"]:
        raise ValueError(
            f"{path}: a charset of {len(charset)} classes beside a model of "
            f"{arguments['num_classes']}: not saved by one training; use another checkpoint"
        )
    return model.to(device).eval(), charset, normalisation, record


def _check_weights(arguments: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Compare weights with the model that they are said to be of, before memory for one is allocated.

    Raises:
        ValueError: names or shapes differ, or a weight is not a number.
    """
    with torch.device("meta"):  # a model without memory
        expected = CRNN(**arguments).state_dict()
    if different := {name for name in expected.keys() | weights.keys() if name not in weights or name not in expected}:
        raise ValueError(f"weights are missing or unknown: {', '.join(sorted(different)[:3])}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, not {tuple(expected[name].shape)}")
        if value.is_floating_point() != expected[name].is_floating_point():  # 16 or 32 bits
            raise ValueError(f"{name} holds values of {value.dtype}, not {expected[name].dtype}")
        if value.is_sparse or value.is_quantized or value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise ValueError(f"{name} is not stored in full")
        if not value.isfinite().all():
            raise ValueError(f"{name} holds values that are not numbers")


def _current(arguments: dict[str, Any]) -> dict[str, Any]:
    """A model's arguments as this version writes them; the first version marked the baseline by a flag."""
    arguments = dict(arguments)
    return arguments | {"architecture": "baseline"} if arguments.pop("baseline", False) else arguments


def named_by_stage(weights: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Weights under the names of this version; earlier ones numbered the layers of the CNN: `cnn.3.` for `cnn.stage1.0.`.

    Args:
        weights: of a `CRNN`, or of a wrapper, which puts `module.` before their names.
        arguments: of the model.
    """
    depth, is_baseline = arguments.get("depth", 1), arguments.get("architecture") == "baseline"

    def renamed(match: re.Match) -> str:
        number = int(match[2])
        if is_baseline:
            return f"{match[1]}stage{number // 3 + 1}.{number % 3}."
        block = number - 3  # after the convolution, its normalisation and ReLU
        return f"{match[1]}stem.{number}." if block < 0 else f"{match[1]}stage{block // depth + 1}.{block % depth}."

    return {re.sub(r"^((?:module\.)?cnn\.)(\d+)\.", renamed, name): value for name, value in weights.items()}
