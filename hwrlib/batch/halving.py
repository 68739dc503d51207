"""Successive halving: train all runs of a sweep a little, drop the worst, train the rest a little more, and so on.

Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016. It saves most of the
time, and it is unfair to what learns slowly: a strong augmentation or a low learning rate looks bad at first. So the table
says which runs were stopped, and after how many epochs.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hwrlib.config import TrainConfig
from hwrlib.files import atomic_write

STOPPED = "stopped.json"  # in the folder of a run that was stopped: after how many epochs, at which place


class Halving(NamedTuple):
    """After how many epochs runs are compared, and which fraction of them goes on."""

    epochs: tuple[int, ...]
    keep: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Halving:
        """From the entry of a sweep, such as `{epochs: [1, 3], keep: 0.5}`.

        Raises:
            ValueError: it is not such an entry.
        """
        epochs, keep = values.get("epochs"), values.get("keep", 0.5)
        if set(values) - {"epochs", "keep"} or not isinstance(epochs, list) or not epochs:
            raise ValueError(f"halving must have epochs, a list, and may have keep, a fraction; it is {values!r}")
        if any(type(epoch) is not int or epoch < 1 for epoch in epochs) or sorted(set(epochs)) != epochs:
            raise ValueError(f"halving: epochs must be integers from 1 in ascending order, not {epochs!r}")
        if type(keep) not in (int, float) or not 0 < keep < 1:
            raise ValueError(f"halving: keep must lie between 0 and 1, not {keep!r}")
        return cls(tuple(epochs), float(keep))


class _Reached(Exception):
    """Raised in a training that has reached the epoch at which it is to be compared; its state is saved then."""


def train_until(epoch: int, config: TrainConfig, run_dir: Path, threads: int) -> None:
    """Train, or go on training, up to an epoch; the training stays as if it had been interrupted there.

    Raises:
        Exception: whatever ends a training.
    """
    if epochs_done(run_dir) >= epoch:
        return
    import torch

    from hwrlib.fit import fit

    os.environ["TQDM_DISABLE"] = "1"
    if threads:
        torch.set_num_threads(threads)

    def compare_here(history: pd.DataFrame) -> None:
        if len(history) >= epoch and epoch < config.epochs:
            raise _Reached

    try:
        fit(config, run_dir, resume=True, on_epoch=compare_here)
    except _Reached:
        pass


def epochs_done(run_dir: Path) -> int:
    """How many epochs of a training are done."""
    path = run_dir / "history.csv"
    return len(pd.read_csv(path)) if path.is_file() else 0


def worst(run_dirs: dict[str, Path], epoch: int, keep: float) -> dict[str, dict[str, Any]]:
    """The runs that are to be stopped, with what `stop` notes about each.

    Args:
        run_dirs: of all runs that have reached the epoch.
        epoch: they are ranked by their best validation CER up to here.
        keep: the fraction that goes on, rounded up.
    """
    histories = {name: pd.read_csv(path / "history.csv") for name, path in run_dirs.items()}
    cers = {name: float(history["validation_cer"].head(epoch).min()) for name, history in histories.items()}
    ranked = sorted(cers, key=lambda name: (cers[name], name))
    kept = math.ceil(keep * len(ranked))
    return {
        name: {"epochs": epoch, "place": place, "of": len(ranked), "validation_cer": cers[name]}
        for place, name in enumerate(ranked, start=1)
        if place > kept
    }


def stop(run_dir: Path, about: dict[str, Any]) -> None:
    """Note that a run is stopped, and why."""
    with atomic_write(run_dir / STOPPED) as file:
        file.write(json.dumps(about).encode())


def stopped_after(run_dir: Path) -> int | None:
    """After how many epochs a run was stopped; None: it was not."""
    path = run_dir / STOPPED
    return json.loads(path.read_text("utf-8"))["epochs"] if path.is_file() else None
