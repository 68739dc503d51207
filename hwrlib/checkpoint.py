"""Checkpoints: written so that a kill never leaves half a file, read so that a foreign file never runs code.

A model checkpoint (`best_model.pth`, `epoch_3_model_checkpoint.pth`) is all that reading needs: weights, charset,
normalisation, and the configuration and metrics of its training. `resume.pth` holds what training needs besides.
Shipped weights (`weights/`) are ONNX files made of such checkpoints, each with its model card.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import re
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from hwrlib.charset import BLANK, Charset
from hwrlib.files import atomic_write
from hwrlib.images import Normalisation
from hwrlib.interrupt import InterruptLater
from hwrlib.model import CRNN, STEM
from hwrlib.progress import logger
from hwrlib.weights import SHIPPED

if TYPE_CHECKING:
    from hwrlib.state import Training

FORMAT = "hwrlib-1"
BEST = "best_model.pth"
RESUME = "resume.pth"
CLASS_LAYERS = ("classifier.", "shortcut.")  # layers whose weights have a row for each class


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
        arguments, weights = _current(content["arguments"]), content["model"]
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


def start_from(source: str | Path, model: CRNN, charset: Charset) -> None:
    """Give a fresh model the weights of another one, to continue training from there.

    Args:
        source: as `find_checkpoint` accepts it.
        model: to be changed. Characters that the other does not know keep their random weights. Its LSTM may be wider
            (`hidden`) and its stages deeper (`depth`): at first nothing listens to the new units, and the new blocks
            change nothing, so that it reads as the other does.
        charset: of `model`.
    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or its layers have other sizes.
    """
    path = find_checkpoint(source)
    other, other_charset, _, _ = load_model(path)
    theirs, ours = (
        {key: value for key, value in each.arguments.items() if key not in ("num_classes", "dropout")}
        for each in (other, model)
    )
    grown = {key: 0 for key in ("hidden", "depth") if theirs.get(key, 0) <= ours.get(key, 0)}
    if theirs | grown != ours | grown:
        raise ValueError(
            f"start_from: the model of {path} has {theirs}, this training {ours}; make them equal "
            "(`hidden` and `depth` may be larger)"
        )
    shared = [c for c in charset.characters if not other_charset.missing(c)]
    rows, other_rows = ([BLANK, *known.encode("".join(shared))] for known in (charset, other_charset))
    weights = other.state_dict()
    if theirs.get("depth") != ours.get("depth"):
        weights = _deepened(weights, model.state_dict(), theirs["depth"], ours["depth"])
    for name, value in model.state_dict().items():
        if name.startswith("rnn.") and value.shape != weights[name].shape:
            weights[name] = _widened(weights[name], value, row_blocks=4, column_blocks=1 if "weight_hh" in name else 2)
        elif name == "classifier.weight" and value.shape[1] != weights[name].shape[1]:
            weights[name] = _widened(weights[name], torch.zeros(len(weights[name]), value.shape[1]), 1, 2)
        if name.startswith(CLASS_LAYERS):
            value = value.clone()
            value[rows] = weights[name][other_rows]
            weights[name] = value
    model.load_state_dict(weights)


def _deepened(weights: dict[str, Tensor], larger: dict[str, Tensor], old: int, new: int) -> dict[str, Tensor]:
    """Weights with stages of `old` blocks, under their names among `larger` ones with `new`, which fill the gaps."""
    deepened = dict(larger)
    for name, value in weights.items():
        part, number, *rest = name.split(".")
        if part == "cnn" and (block := int(number) - STEM) >= 0:
            name = ".".join([part, str(STEM + block // old * new + block % old), *rest])
        deepened[name] = value
    return deepened


def _widened(smaller: Tensor, larger: Tensor, row_blocks: int, column_blocks: int) -> Tensor:
    """Weights of an LSTM among those of one with more units, whose own weights stay random, and whom the old ones ignore.

    Args:
        smaller: (rows, ...), a block of rows for each gate and a block of columns for each direction.
        larger: its random weights.
        row_blocks, column_blocks: how many of them.
    """

    def places(axis: int, blocks: int) -> Tensor:
        """Where the smaller one's rows or columns stand in the larger one: at the beginning of each block."""
        old, new = smaller.shape[axis] // blocks, larger.shape[axis] // blocks
        return (torch.arange(blocks)[:, None] * new + torch.arange(old)).flatten()

    widened, rows = larger.clone(), places(0, row_blocks)
    if smaller.ndim == 1:
        widened[rows] = smaller
    else:
        widened[rows] = 0
        widened[rows[:, None], places(1, column_blocks)] = smaller
    return widened


# Finding checkpoints -------------------------------------------------------------------------------------------------


def find_checkpoint(source: str | Path) -> Path:
    """The model checkpoint that a user means.

    Args:
        source: the name of shipped weights, a checkpoint file, or a run's folder, which stands for its best model or, if
            it has none, that of its last epoch. A folder with the name of shipped weights is written `./names`.
    Raises:
        FileNotFoundError: there is none.
    """
    if str(source) in SHIPPED:
        return SHIPPED[str(source)]
    path = Path(source)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"{source}: no such checkpoint or folder; give one, or the name of shipped weights: {', '.join(SHIPPED)}"
        )
    if (path / BEST).is_file():
        return path / BEST
    if epochs := epoch_checkpoints(path):
        return epochs[-1]
    raise FileNotFoundError(f"{path}: no {BEST} and no epoch checkpoint in this folder; has its training started?")


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
    """The path of an epoch's checkpoint; epochs are counted from 1."""
    return Path(run_dir) / f"epoch_{epoch}_model_checkpoint.pth"


def epoch_checkpoints(run_dir: str | Path) -> list[Path]:
    """The epoch checkpoints of a run, earliest epoch first."""
    found = {path: re.fullmatch(r"epoch_(\d+)_model_checkpoint\.pth", path.name) for path in Path(run_dir).glob("*")}
    return sorted((path for path, match in found.items() if match), key=lambda path: int(found[path][1]))


# A run in progress ---------------------------------------------------------------------------------------------------


class Checkpointer:
    """Writes what a run leaves in its folder, on the main process only, and restores a training from there.

    Used as a context, it delays an interrupt until the step in progress is finished and its state saved. A folder that
    somebody removes in the middle of the training is made again.

    Args:
        training: to be saved and restored.
        folder: of the run.
    """

    def __init__(self, training: Training, folder: Path):
        self.training, self.folder = training, folder
        self.saved_at, self.interrupt = time.monotonic(), InterruptLater()
        self.is_main = training.accelerator.is_main_process
        self.best_cer = math.inf  # of the best model that is saved

    def __enter__(self) -> Checkpointer:
        if self.is_main:
            for left in self.folder.glob(".*.pth.*.partial"):  # by a killed process: the folder is locked
                left.unlink(missing_ok=True)
            self._open_files()
        self.interrupt.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.interrupt.__exit__(*error)
        if self.is_main:
            self.board.close()

    def _open_files(self) -> None:
        from torch.utils.tensorboard import SummaryWriter  # only training needs it, and its import takes a second
        from torch.utils.tensorboard.summary import hparams

        self._write("config.json", json.dumps(self.training.config.as_dict(), indent=2))
        self.board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=len(self.training.losses))
        # The tab HPARAMS: not by add_hparams, which makes a folder of its own for each call.
        for summary in hparams(self.training.config.as_dict(), dict.fromkeys(("epoch/validation_cer", "epoch/seconds"), 0)):
            self.board.file_writer.add_summary(summary)

    def _restore_folder(self) -> None:
        """Make the folder again if it was removed: the training is worth more than the files that are lost."""
        if not self.folder.is_dir():
            logger.warning("%s was removed; it is made again, and saving goes on there", self.folder)
            self.folder.mkdir(parents=True)
            self.board.close()
            self._open_files()
            self.best_cer = math.inf

    def restore(self) -> None:
        """Continue from the run's saved state, if there is one.

        Raises:
            ValueError: the state belongs to another configuration, other labels or another version; the message says which.
        """
        path = self.folder / RESUME
        if path.is_file():
            state = load_safely(path, device=self.training.accelerator.device)
            if different := self.training.differences(state):
                raise ValueError(
                    f"{path}: this run was started differently ({'; '.join(different)}); resume it as it was, "
                    "or start a new run"
                )
            self.training.load_state_dict(state)
            if (self.folder / BEST).is_file():
                self.best_cer = min((row["validation_cer"] for row in self.training.history), default=math.inf)

    def after_step(self) -> None:
        """Save the state if the last one is old enough, or before an interrupt ends the training.

        Raises:
            KeyboardInterrupt: Ctrl-C or a notebook's stop button asked for it; the state is saved.
        """
        requested = self._is_stop_requested()
        if requested or time.monotonic() - self.saved_at > self.training.config.checkpoint_minutes * 60:
            self._save_state()
        if requested:
            self._stop()

    def stop_if_requested(self) -> None:
        """End a training whose state has just been saved, if an interrupt asked for it."""
        if self._is_stop_requested():
            self._stop()

    def _is_stop_requested(self) -> bool:
        """Whether an interrupt has reached any process: one that stopped alone would leave the others waiting for it."""
        accelerator, requested = self.training.accelerator, self.interrupt.requested
        if accelerator.num_processes == 1:
            return requested
        return bool(accelerator.gather(torch.tensor([requested], device=accelerator.device)).any())

    def _stop(self) -> None:
        raise KeyboardInterrupt(f"{self.folder}: stopped and saved; continue with resume")

    def after_epoch(self) -> None:
        """Save the epoch's model and history, the best model if this is it, and the state to resume from."""
        if not self.is_main:
            return
        self._restore_folder()
        training, row = self.training, self.training.history[-1]
        paths = [epoch_path(self.folder, training.epoch)]
        if row["validation_cer"] <= self.best_cer:
            paths.append(self.folder / BEST)
            self.best_cer = row["validation_cer"]
        for path in paths:
            save_model(
                path,
                model=training.best_model,
                charset=training.charset,
                config=training.config.as_dict(),
                normalisation=training.config.normalisation,
                metrics={key: row[key] for key in ("epoch", "validation_loss", "validation_cer", "validation_exact")},
            )
        for old in epoch_checkpoints(self.folder)[: -training.config.checkpoints_kept]:
            old.unlink()
        self._write_tables()
        self._save_state()

    def _write_tables(self) -> None:
        losses, history = self.training.losses, self.training.history
        self._write("history.csv", pd.DataFrame(history).to_csv(index=False))
        self._write("losses.csv", pd.DataFrame({"step": range(1, len(losses) + 1), "loss": losses}).to_csv(index=False))
        for step in range(history[-2]["step"] if len(history) > 1 else 0, len(losses)):
            self.board.add_scalar("loss/batch", losses[step], step + 1)
        for name, value in history[-1].items():
            if name not in ("epoch", "step"):
                self.board.add_scalar(f"epoch/{name}", value, history[-1]["step"])

    def _save_state(self) -> None:
        if self.is_main:
            self._restore_folder()
            save_atomically(self.training.state_dict(), self.folder / RESUME)
        self.saved_at = time.monotonic()

    def _write(self, name: str, text: str) -> None:
        with atomic_write(self.folder / name) as file:
            file.write(text.encode())
