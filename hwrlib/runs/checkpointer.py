"""The files of a run: what a training saves in its folder, and how it resumes from there."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path

import pandas as pd
import torch

from hwrlib.common.files import atomic_write
from hwrlib.common.progress import logger
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import load_safely, save_atomically, save_model
from hwrlib.models.locate import BEST, RESUME, epoch_checkpoints, epoch_path
from hwrlib.models.precision import resolve_precision
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.interrupt import InterruptLater
from hwrlib.runs.state import Training


class Checkpointer:
    """Saves a training in the folder of its run, on the main process only, and restores it from there.

    Used as a context, it delays an interrupt until the step in progress is finished and its state saved. If the
    folder is removed during the training, it is created again.

    Args:
        training: to be saved and restored.
        folder: of the run.
    """

    def __init__(self, training: Training, folder: Path):
        self.training, self.folder = training, folder
        self.saved_at, self.interrupt = time.monotonic(), InterruptLater()
        self.is_main = training.accelerator.is_main_process
        self.best_cer = math.inf  # of the best model that is saved
        self._best: CRNN | None = None  # a copy of it, unless an earlier process saved it

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
        """Create the folder again if it was removed: the training is worth more than the lost files."""
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
            self.best_cer, self._best = row["validation_cer"], copy.deepcopy(training.best_model)
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

    def best_recognizer(self) -> Recognizer:
        """The best model, to read with; from memory if this process has trained it."""
        if self._best is None:
            return Recognizer.from_checkpoint(self.folder / BEST, decoder=None)
        self._best.precision = resolve_precision("auto", self.training.accelerator.device)  # as a loaded one has it
        return Recognizer(self._best, self.training.charset, self.training.config.normalisation)

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
