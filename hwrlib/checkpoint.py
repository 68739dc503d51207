"""Checkpoints: written so that a kill never leaves half a file, read so that a foreign file never runs code.

A model checkpoint (``best_model.pth``, ``epoch_3_model_checkpoint.pth``) is all that reading needs: weights, charset,
normalisation, and the configuration and figures of its training. ``resume.pth`` holds what training needs besides.
Shipped weights (``weights/``) are such model checkpoints, each beside its model card.
"""

import io
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from hwrlib.charset import BLANK, Charset
from hwrlib.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.weights import SHIPPED

FORMAT = "hwrlib-1"
BEST = "best_model.pth"
RESUME = "resume.pth"
CLASS_LAYERS = ("classifier.", "shortcut.")   # whose weights have a row for each class


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write a dictionary of tensors and plain values so that the file is there whole, or is the one before.

    Raises:
        WriteError: the disk is full or protected; the old file is intact.
    """
    serialised = io.BytesIO()      # torch would hide the system's error if it wrote to the file itself
    torch.save({"format": FORMAT, **content}, serialised)
    with atomic_write(path) as file:
        file.write(serialised.getbuffer())


def load_safely(path: str | Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what :func:`save_atomically` wrote; only tensors and plain values are taken, no pickled code is run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, no checkpoint of this package, of another version, or holds code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; train one with notebook 02, or name another")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: refused, since it holds more than tensors and plain values, and loading it could "
                         "run code; use a checkpoint that hwrlib saved") from error
    except PermissionError:
        raise
    except Exception as error:      # damaged pickles make torch's reader stumble in every way there is
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise ValueError(f"{path}: damaged or cut short ({reason}); use another checkpoint") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: not a checkpoint of this version of hwrlib ({FORMAT}), but {found!r}; train anew")
    return content


def save_model(path: Path, *, model: CRNN, charset: Charset, normalisation: Normalisation, config: dict[str, Any],
               metrics: dict[str, float]) -> None:
    """Save all that reading needs."""
    save_atomically({"arguments": model.arguments, "model": model.state_dict(), "characters": charset.characters,
                     "normalisation": normalisation.as_dict(), "config": config, "metrics": metrics}, path)


def load_model(path: str | Path, *, device: str | torch.device = "cpu"
               ) -> tuple[CRNN, Charset, Normalisation, dict[str, Any]]:
    """A model ready to read, its charset and normalisation, and a dictionary of its ``config`` and ``metrics``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is refused (see :func:`load_safely`), or its parts do not fit each other.
    """
    content = load_safely(path, device=device)
    try:
        model = CRNN.from_arguments(content["arguments"])
        model.load_state_dict(content["model"])
        charset, normalisation = Charset(content["characters"]), Normalisation(**content["normalisation"])
    except Exception as error:      # whatever a stranger's values may do to the constructors
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(f"{path}: its parts do not fit this version of hwrlib ({reason}); train anew") from error
    if len(charset) != model.arguments["num_classes"]:
        raise ValueError(f"{path}: a charset of {len(charset)} classes beside a model of "
                         f"{model.arguments['num_classes']}: not saved by one training; use another checkpoint")
    return model.to(device).eval(), charset, normalisation, {key: content.get(key, {}) for key in ("config", "metrics")}


def start_from(source: str | Path, model: CRNN, charset: Charset) -> None:
    """Give a fresh model the weights of another, to train on from there.

    Args:
        source: as :func:`find_checkpoint` takes it.
        model: to be changed. Characters that the other does not know keep the weights they were drawn.
        charset: of ``model``.
    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or its layers have other sizes.
    """
    path = find_checkpoint(source)
    other, other_charset, _, _ = load_model(path)
    sizes = [{key: value for key, value in each.arguments.items() if key not in ("num_classes", "dropout")}
             for each in (other, model)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"start_from: the model of {path} has {sizes[0]}, this training {sizes[1]}; set them alike")
    shared = [c for c in charset.characters if not other_charset.missing(c)]
    rows, other_rows = ([BLANK, *known.encode("".join(shared))] for known in (charset, other_charset))
    weights = other.state_dict()
    for name, value in model.state_dict().items():
        if name.startswith(CLASS_LAYERS):
            value = value.clone()
            value[rows] = weights[name][other_rows]
            weights[name] = value
    model.load_state_dict(weights)


def find_checkpoint(source: str | Path) -> Path:
    """The model checkpoint that a user means.

    Args:
        source: the name of shipped weights, a checkpoint's file, or a run's folder, whose best model is taken, or that
            of its last epoch where there is no best. A folder that is called like shipped weights: ``./names``.
    Raises:
        FileNotFoundError: there is none.
    """
    if str(source) in SHIPPED:
        return SHIPPED[str(source)]
    path = Path(source)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{source}: no such checkpoint or folder; give one, or the name of shipped weights: "
                                f"{', '.join(SHIPPED)}")
    if (path / BEST).is_file():
        return path / BEST
    if epochs := epoch_checkpoints(path):
        return epochs[-1]
    raise FileNotFoundError(f"{path}: no {BEST} and no epoch checkpoint in this folder; has its training begun?")


def latest_run(runs_dir: str | Path) -> Path:
    """The run whose best model was saved last.

    Raises:
        FileNotFoundError: no run of the folder has a checkpoint.
    """
    best = sorted(Path(runs_dir).glob(f"*/{BEST}"), key=lambda path: path.stat().st_mtime)
    if not best:
        raise FileNotFoundError(f"{runs_dir}: no run with a {BEST}; train one with notebook 02 or `make run`")
    return best[-1].parent


def epoch_path(run_dir: str | Path, epoch: int) -> Path:
    """Where the checkpoint of an epoch (from 1) lies."""
    return Path(run_dir) / f"epoch_{epoch}_model_checkpoint.pth"


def epoch_checkpoints(run_dir: str | Path) -> list[Path]:
    """The epoch checkpoints of a run, earliest epoch first."""
    found = {path: re.fullmatch(r"epoch_(\d+)_model_checkpoint\.pth", path.name) for path in Path(run_dir).glob("*")}
    return sorted((path for path, match in found.items() if match), key=lambda path: int(found[path][1]))
