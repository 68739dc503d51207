"""Training: one loop for the notebook, for papermill and for ``python -m hwrlib.train -f FILE.yaml``.

Everything random about a step (dropout, augmentation) is drawn from a state that the seed, the epoch and the batch
alone decide, and the order of an epoch likewise. So a training that was killed and resumed takes the same steps as one
that was not, and ends with the same weights; `resume.pth` need not keep any random state.
"""

import argparse
import hashlib
import json
import math
import os
import reprlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm

from hwrlib import checkpoint
from hwrlib.augment import augment
from hwrlib.charset import Charset
from hwrlib.config import TrainConfig
from hwrlib.ctc import ctc_loss, frames_needed, greedy_decode
from hwrlib.data import Batch, JoinedLines, LineDataset, ResidentLines, eval_loader, train_loader, with_room_for
from hwrlib.files import atomic_write, with_remedy
from hwrlib.images import Normalisation
from hwrlib.metrics import Scores, score
from hwrlib.model import CRNN, has_fast_bf16
from hwrlib.optim import build_optimizer, ema_update, learning_rate_at

# Set before torch starts its threads, which inherit it: gradients of near-certain frames are so small that a CPU would
# treat them digit by digit; as zeros they make a step a quarter faster and change nothing.
torch.set_flush_denormal(True)

MAX_UNTRAINABLE_SHARE = 0.05   # of the training labels may be longer than their image has frames
ALL_BLANK = (
    "epoch {epoch}: every validation line is read as empty. CTC trainings begin on this plateau and leave it within a few "
    "passes; one that does not needs model: crnn with shortcut: 0.3, a smaller batch_size or another learning_rate, or has "
    "labels that do not belong to their images (look at them in notebook 01)")
MAX_BAD_STEPS = 20             # losses in a row that are not finite before training stops
FREE_TO_CHANGE = {"workers", "checkpoint_minutes", "checkpoints_kept"}   # on resuming; all else decides the weights


def drop_untrainable(dataset: LineDataset, charset: Charset, model: CRNN) -> None:
    """Leave out the samples whose label is longer than their image has frames, or has characters that the charset lacks.

    Raises:
        ValueError: they are more than 5 % of the split; the message names the split and the first three.
    """
    frames = model.output_lengths(torch.from_numpy(dataset.widths)).tolist()
    faults = [_label_fault(*sample, charset) for sample in zip(dataset.texts, frames)]
    bad = [i for i, fault in enumerate(faults) if fault]
    if not bad:
        return
    told = (f"{dataset.folder / dataset.split}: {len(bad)} of {len(dataset)} labels cannot be trained on: "
            + "; ".join(f"{dataset.names[i]}: {faults[i]}" for i in bad[:3]) + (", …" if len(bad) > 3 else ""))
    if len(bad) > MAX_UNTRAINABLE_SHARE * len(dataset):
        raise ValueError(f"{told}. Widen the images (max_width), add to `characters`, or mend the labels")
    dataset.keep(np.array([i for i, fault in enumerate(faults) if not fault]), "label cannot be trained on")
    print(f"{told}. They are left out.")


def _label_fault(text: str, frames: int, charset: Charset) -> str | None:
    """Why a label cannot be trained on."""
    if missing := charset.missing(text):
        return f"{reprlib.repr(text)} has characters outside the charset: {missing}"
    if (needed := frames_needed(charset.encode(text))) > frames:
        return f"{frames} frames < {needed} needed for {reprlib.repr(text)}"
    return None


# The state of a training ---------------------------------------------------------------------------------------------

@dataclass
class Training:
    """Everything that one training consists of, and where it stands."""

    config: TrainConfig
    charset: Charset
    normalisation: Normalisation
    accelerator: Accelerator
    model: nn.Module            # as Accelerate wraps it
    averaged: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    epoch: int = 0              # epochs done
    batch: int = 0              # batches done in the epoch under way
    losses: list[float] = field(default_factory=list)          # of every batch so far
    history: list[dict[str, Any]] = field(default_factory=list)  # of every epoch so far
    bad_steps: int = 0          # losses in a row that were not finite
    labels: str = ""            # a digest of the lines that are trained on and their texts

    @property
    def plain_model(self) -> CRNN:
        """The model that is being trained, without wrappers."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def best_model(self) -> CRNN:
        """The model to evaluate and save: the moving average of the weights where there is one."""
        return self.averaged.module if self.averaged is not None else self.plain_model

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"config": self.config.as_dict(), "characters": self.charset.characters,
                "model": self.plain_model.state_dict(),
                "averaged": self.averaged.state_dict() if self.averaged is not None else None,
                "optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict(),
                "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
                "labels": self.labels, "epoch": self.epoch, "batch": self.batch, "losses": torch.tensor(self.losses),
                "history": self.history}

    def restore(self, state: dict[str, Any], source: Path) -> None:
        """Continue from a state.

        Raises:
            ValueError: the state belongs to another configuration or other labels; the message names what differs.
        """
        ours, theirs = self.config.as_dict(), TrainConfig().as_dict() | state["config"]
        differing = [f"{name}: {theirs[name]!r} then, {value!r} now" for name, value in ours.items()
                     if name not in FREE_TO_CHANGE and theirs[name] != value]
        if state["characters"] != self.charset.characters:
            differing.append("the characters of the training labels")
        elif state.get("labels", self.labels) != self.labels:
            differing.append("the training lines or their labels")
        if differing:
            raise ValueError(f"{source}: this run was begun differently ({'; '.join(differing)}); resume it as it was, "
                             "or start a new run")
        self.plain_model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.losses, self.history = state["losses"].tolist(), state["history"]


def resolve_precision(precision: str) -> str:
    """Accelerate's name for a precision; "auto" takes bf16 (or fp16) where the hardware multiplies it fast."""
    if precision != "auto":
        return {"fp32": "no"}.get(precision, precision)
    device = torch.device("cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu")
    return "bf16" if has_fast_bf16(device) else "fp16" if device.type == "cuda" else "no"


def build_model(config: TrainConfig, num_classes: int) -> CRNN:
    """The model that a configuration asks for, with weights drawn from its seed."""
    torch.manual_seed(config.seed)
    if config.model == "baseline":
        return CRNN.baseline(num_classes)
    return CRNN(num_classes, width=config.width, hidden=config.hidden, layers=config.layers, dropout=config.dropout)


def normalisation_of(config: TrainConfig) -> Normalisation:
    """What every image of a run goes through."""
    return Normalisation(height=config.height, max_width=config.max_width, min_width=config.min_width,
                         max_stretch=config.max_stretch)


def start(config: TrainConfig, charset: Charset, batches: int) -> Training:
    """A training at its beginning.

    Args:
        batches: of an epoch, over all processes.
    """
    # Without a GPU, only cpu=True makes several processes one training (see Accelerate's documentation).
    on_cpu = not torch.cuda.is_available() and not torch.backends.mps.is_available()
    AcceleratorState._reset_state(reset_partial_state=True)   # a notebook may train twice, with another precision
    accelerator = Accelerator(mixed_precision=resolve_precision(config.precision), cpu=on_cpu,
                              gradient_accumulation_steps=config.accumulation)
    model = build_model(config, len(charset))
    if config.start_from:
        checkpoint.start_from(config.start_from, model, charset)
    model = model.to(accelerator.device)
    averaged = AveragedModel(model, multi_avg_fn=ema_update(config.ema), use_buffers=True) if config.ema else None
    optimizer = build_optimizer(config, model)
    steps = config.epochs * math.ceil(math.ceil(batches / accelerator.num_processes) / config.accumulation)
    if config.compiled:
        model.cnn.compile(dynamic=True)     # batches have one height, but many widths
    model, optimizer = accelerator.prepare(model, optimizer)
    scheduler = LambdaLR(optimizer, lambda step: learning_rate_at(step, total=steps, warmup=config.warmup,
                                                                  schedule=config.schedule))
    return Training(config, charset, normalisation_of(config), accelerator, model, averaged, optimizer, scheduler)


# An epoch --------------------------------------------------------------------------------------------------------------

def train_one_epoch(training: Training, loader: DataLoader, *, on_step: Callable[[], None] = lambda: None) -> float:
    """The rest of the epoch under way, batch by batch.

    Args:
        training: its model, optimizer and place are moved on.
        loader: of the training split, prepared by Accelerate, set to the epoch and the batch to begin with.
        on_step: called after each step of the optimizer.
    Returns:
        The mean loss of the epoch's batches, nats a character.
    """
    training.model.train()
    for batch in tqdm(loader, desc=f"epoch {training.epoch + 1}/{training.config.epochs}", leave=False,
                      disable=None if os.environ.get("TQDM_DISABLE") is None else True):
        with training.accelerator.accumulate(training.model):
            _train_step(training, batch)
        training.batch += 1
        if training.accelerator.sync_gradients:
            on_step()
    epoch_losses = np.array(training.losses[-training.batch:])
    return float(epoch_losses[np.isfinite(epoch_losses)].mean())


def _train_step(training: Training, batch: Batch) -> None:
    """Augment, forward, CTC, backward, step."""
    config, accelerator = training.config, training.accelerator
    _seed_step(config.seed, training.epoch, training.batch, accelerator.process_index)
    images = augment(batch.images, config.augment)
    loss = _batch_loss(training, images, batch)
    training.losses.append(float(loss.detach()))
    # One process that skipped its backward pass alone would leave the others waiting for its gradients.
    if accelerator.gather(loss.detach().isfinite().logical_not()).any():
        return _count_bad_step(training, batch)
    training.bad_steps = 0
    accelerator.backward(loss)
    if accelerator.sync_gradients and config.clip_norm:
        accelerator.clip_grad_norm_(training.model.parameters(), config.clip_norm)
    training.optimizer.step()
    if accelerator.sync_gradients:
        training.scheduler.step()
        if training.averaged is not None:
            training.averaged.update_parameters(training.plain_model)
    training.optimizer.zero_grad()


def _batch_loss(training: Training, images: Tensor, batch: Batch) -> Tensor:
    """Mean CTC loss of a batch, with the shortcut head's where the model has one."""
    weight = training.config.shortcut if training.plain_model.shortcut is not None else 0.0
    input_lengths = training.plain_model.output_lengths(batch.image_widths)
    if not weight:
        return ctc_loss(training.model(images, batch.image_widths), batch, input_lengths).mean()
    log_probs, shortcut = training.model(images, batch.image_widths, with_shortcut=True)
    return (ctc_loss(log_probs, batch, input_lengths) + weight * ctc_loss(shortcut, batch, input_lengths)).mean()


def _seed_step(*parts: int) -> None:
    """Set torch's random state from the place of a step, so that it never depends on the steps before."""
    torch.manual_seed(int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1))


def _count_bad_step(training: Training, batch: Batch) -> None:
    """Skip a batch whose loss is not finite; stop when that goes on."""
    training.bad_steps += 1
    training.optimizer.zero_grad()
    if training.bad_steps >= MAX_BAD_STEPS:
        raise FloatingPointError(f"the loss was not finite in {MAX_BAD_STEPS} batches in a row, the last with "
                                 f"{', '.join(batch.names[:5])}; lower learning_rate or use precision: fp32")


class Evaluation(NamedTuple):
    """What a model reads in a split, and how right it is."""

    loss: float             # mean CTC loss over all samples, nats a character
    scores: Scores
    names: list[str]
    references: list[str]
    hypotheses: list[str]


@torch.inference_mode()
def evaluate(model: CRNN, loader: DataLoader, charset: Charset, *, accelerator: Accelerator | None = None
             ) -> Evaluation:
    """Read every line of a loader greedily and score it.

    Args:
        model: on its device; put into evaluation mode.
        loader: of a split, each line once.
        charset: of the model.
        accelerator: whose precision is used; none: fp32.
    Raises:
        RuntimeError: the loader yielded another number of lines than its data set holds.
    """
    model.eval()
    device = next(model.parameters()).device
    losses, names, references, hypotheses = [], [], [], []
    for batch in loader:
        batch = Batch(*(part.to(device) if isinstance(part, Tensor) else part for part in batch))
        with accelerator.autocast() if accelerator else torch.autocast(device.type, enabled=False):
            log_probs = model(batch.images, batch.image_widths)
        input_lengths = model.output_lengths(batch.image_widths)
        # A label that is longer than its image has frames cannot be written: its infinite loss is left out.
        loss = F.ctc_loss(log_probs, batch.targets, input_lengths, batch.target_lengths, reduction="none")
        losses += (loss / batch.target_lengths.clamp(min=1))[loss.isfinite()].tolist()
        names, references = names + list(batch.names), references + list(batch.texts)
        hypotheses += [charset.decode(classes) for classes in greedy_decode(log_probs.cpu(), input_lengths.cpu())]
    if len(references) != len(loader.dataset):
        raise RuntimeError(f"evaluated {len(references)} lines of {len(loader.dataset)}")
    return Evaluation(float(np.mean(losses)), score(references, hypotheses), names, references, hypotheses)


# A whole run -----------------------------------------------------------------------------------------------------------

class Run(NamedTuple):
    """A training's result."""

    folder: Path            # with best_model.pth, history.csv, losses.csv, config.json, tensorboard/
    history: pd.DataFrame   # a row an epoch
    best_cer: float         # on the validation split, a fraction


def new_run_folder(runs_dir: str | Path = "runs") -> Path:
    """``runs/run_YYYYMMDD_HHMMSS_checkpoints``."""
    return Path(runs_dir) / f"run_{datetime.now():%Y%m%d_%H%M%S}_checkpoints"


def fit(config: TrainConfig, run_dir: str | Path | None = None, *, resume: bool = False,
        sets: tuple[LineDataset, LineDataset] | None = None,
        on_epoch: Callable[[pd.DataFrame], None] = lambda history: None) -> Run:
    """Train a recogniser and leave everything about it in a folder.

    Args:
        config: all knobs.
        run_dir: the run's folder; by default a new one, named for the time, in ``runs/``.
        resume: continue the training that was begun in ``run_dir`` (from its start, if nothing was saved yet).
        sets: the lines to train on and the lines to validate on; by default the splits of `data`.
        on_epoch: called with the history after each epoch, to draw curves.
    Returns:
        The folder, the history and the best validation CER.
    Raises:
        FileExistsError: ``run_dir`` holds a training already, and ``resume`` is off.
        ValueError: labels do not fit their images, or ``resume`` finds another configuration or other labels.
    """
    folder = _open_folder(run_dir, resume)
    train_set, validation_set = sets or split_sets(config)
    if config.train_limit and config.train_limit < len(train_set):
        chosen = np.random.default_rng(config.seed).permutation(len(train_set))[:config.train_limit]
        train_set.keep(np.sort(chosen), "beyond train_limit")
    parts = [train_set]
    if config.extra_data:
        parts.append(LineDataset(config.extra_data, "train", normalisation_of(config)))
    charset = Charset(config.characters) if config.characters else Charset.from_texts(
        text for part in parts for text in part.texts)
    untrained = build_model(config, len(charset))
    for part in parts:
        drop_untrainable(part, charset, untrained)
    training = start(config, charset, math.ceil(sum(map(len, parts)) / config.batch_size))
    training.labels = hashlib.sha1(repr([(part.names, part.texts) for part in parts]).encode()).hexdigest()
    if resume and (folder / checkpoint.RESUME).is_file():
        training.restore(checkpoint.load_safely(folder / checkpoint.RESUME, device=training.accelerator.device),
                         folder / checkpoint.RESUME)
    if training.accelerator.is_main_process:
        with atomic_write(folder / "config.json") as file:
            file.write(json.dumps(config.as_dict(), indent=2).encode())
    if device := with_room_for([*parts, validation_set], training.accelerator.device):
        train_lines, validation_lines = (ResidentLines(each, charset, device) for each in (parts, [validation_set]))
    else:
        train_lines, validation_lines = JoinedLines(parts), validation_set
    loader = train_loader(train_lines, charset, batch_size=config.batch_size, seed=config.seed, workers=config.workers)
    return _run_epochs(training, folder, loader, eval_loader(validation_lines, charset, workers=config.workers), on_epoch)


def split_sets(config: TrainConfig) -> tuple[LineDataset, LineDataset]:
    """The training and the validation split, corrected where the configuration says so.

    Raises:
        ValueError: `corrections` do not fit the data set, or leave no line.
    """
    sets = [LineDataset(config.data, name, normalisation_of(config)) for name in ("train", "validation")]
    for each in sets if config.corrections else []:
        each.correct(config.corrections)
    return sets[0], sets[1]


def _open_folder(run_dir: str | Path | None, resume: bool) -> Path:
    folder = Path(run_dir) if run_dir else new_run_folder()
    if not resume and (folder / checkpoint.RESUME).exists():
        raise FileExistsError(f"{folder}: a training was begun here already; set resume to continue it, or choose "
                              "another folder")
    with with_remedy(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run_epochs(training: Training, folder: Path, loader: DataLoader, validation_loader: DataLoader,
                on_epoch: Callable) -> Run:
    config, accelerator = training.config, training.accelerator
    sampler, prepared = loader.batch_sampler, accelerator.prepare(loader)
    saver = _Saver(training, folder)
    board = SummaryWriter(str(folder / "tensorboard"), purge_step=len(training.losses))
    with with_remedy(folder, kept="the last saved checkpoint is intact"), board, saver.interrupt:
        while training.epoch < config.epochs and not _stalled(training):
            began = time.perf_counter()
            sampler.start_at(training.epoch, start=training.batch * accelerator.num_processes)
            done = training.batch
            train_loss = train_one_epoch(training, prepared, on_step=saver.save_when_due)
            seconds = time.perf_counter() - began
            skipped = len(training.losses) - int(np.isfinite(training.losses).sum()) - sum(
                row.get("skipped_batches", 0) for row in training.history)
            validation = evaluate(training.best_model, validation_loader, training.charset, accelerator=accelerator)
            training.epoch, training.batch, batches = training.epoch + 1, 0, training.batch
            images = (batches - done) * config.batch_size * accelerator.num_processes
            training.history.append({
                "epoch": training.epoch, "step": len(training.losses), "train_loss": train_loss,
                "validation_loss": validation.loss, "validation_cer": validation.scores.cer,
                "validation_wer": validation.scores.wer, "validation_exact": validation.scores.exact,
                "learning_rate": float(training.scheduler.get_last_lr()[0]), "seconds": round(seconds, 1),
                "images_per_second": round(images / seconds, 1), "skipped_batches": skipped})
            saver.save_epoch(batches, board)
            if accelerator.is_main_process and training.epoch in (1, 4, 16) and not any(validation.hypotheses):
                print(ALL_BLANK.format(epoch=training.epoch))
            on_epoch(pd.DataFrame(training.history))
            saver.stop_if_interrupted()
    history = pd.DataFrame(training.history)
    return Run(folder, history, float(history["validation_cer"].min()))


def _stalled(training: Training) -> bool:
    """Whether the validation CER has not got better for ``patience`` epochs."""
    values = [row["validation_cer"] for row in training.history]
    return bool(training.config.patience and values
                and len(values) - 1 - int(np.argmin(values)) >= training.config.patience)


class InterruptLater:
    """While this context is entered, an interrupt (Ctrl-C, a notebook's stop button) is only noted in ``asked``: a step that
    is broken off half way could not be resumed exactly. A second interrupt ends the work at once.
    """

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "InterruptLater":
        self.in_main_thread = threading.current_thread() is threading.main_thread()   # no other receives signals
        if self.in_main_thread:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.in_main_thread:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this step; interrupt once more to stop at once, without saving", flush=True)


class _Saver:
    """Writes what a run leaves in its folder; on the main process only."""

    def __init__(self, training: Training, folder: Path):
        self.training, self.folder = training, folder
        self.saved_at, self.interrupt = time.monotonic(), InterruptLater()

    def save_when_due(self) -> None:
        """Save the state to resume from, if the last one is old enough, or before an interrupt ends the training."""
        if self.interrupt.asked or time.monotonic() - self.saved_at > self.training.config.checkpoint_minutes * 60:
            self._save_state()
        self.stop_if_interrupted()

    def stop_if_interrupted(self) -> None:
        """End the training, whose state has been saved, if Ctrl-C or a notebook's stop button asked for it."""
        if self.interrupt.asked:
            raise KeyboardInterrupt(f"{self.folder}: stopped and saved; go on with resume")

    def save_epoch(self, batches: int, board: SummaryWriter) -> None:
        """Save an epoch's model and history, the best model if this is it, and the state to resume from."""
        if not self.training.accelerator.is_main_process:
            return
        training, row = self.training, self.training.history[-1]
        metrics = {key: row[key] for key in ("epoch", "validation_loss", "validation_cer", "validation_exact")}
        paths = [checkpoint.epoch_path(self.folder, training.epoch)]
        if row["validation_cer"] <= min(earlier["validation_cer"] for earlier in training.history):
            paths.append(self.folder / checkpoint.BEST)
        for path in paths:
            checkpoint.save_model(path, model=training.best_model, charset=training.charset,
                                  normalisation=training.normalisation, config=training.config.as_dict(),
                                  metrics=metrics)
        for old in checkpoint.epoch_checkpoints(self.folder)[:-training.config.checkpoints_kept]:
            old.unlink()
        self._write_tables(board, batches)
        self._save_state()

    def _save_state(self) -> None:
        if self.training.accelerator.is_main_process:
            checkpoint.save_atomically(self.training.state(), self.folder / checkpoint.RESUME)
        self.saved_at = time.monotonic()

    def _write_tables(self, board: SummaryWriter, batches: int) -> None:
        training = self.training
        losses = pd.DataFrame({"step": range(1, len(training.losses) + 1), "loss": training.losses})
        for name, table in (("history.csv", pd.DataFrame(training.history)), ("losses.csv", losses)):
            with atomic_write(self.folder / name) as file:
                table.to_csv(file, index=False)
        for step in range(len(training.losses) - batches, len(training.losses)):
            board.add_scalar("loss/batch", training.losses[step], step + 1)
        for name, value in training.history[-1].items():
            if name not in ("epoch", "step"):
                board.add_scalar(f"epoch/{name}", value, training.history[-1]["step"])


def main() -> None:
    """``python -m hwrlib.train -f FILE.yaml [--run FOLDER] [--resume]``."""
    parser = argparse.ArgumentParser(description="Train a recogniser outside a notebook.")
    parser.add_argument("-f", "--file", required=True, help="YAML file of parameters (see notebooks/params/)")
    parser.add_argument("--run", help="the run's folder; by default a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="continue the training begun in --run")
    arguments = parser.parse_args()

    def report(history: pd.DataFrame) -> None:
        row = history.iloc[-1]
        tqdm.write(f"epoch {row['epoch']:.0f}: loss {row['train_loss']:.4f}, validation CER "
                   f"{row['validation_cer']:.2%}, exact {row['validation_exact']:.2%}, "
                   f"{row['images_per_second']:.0f} images/s")

    try:
        run = fit(TrainConfig.from_yaml(arguments.file), arguments.run, resume=arguments.resume, on_epoch=report)
    except KeyboardInterrupt as stopped:
        raise SystemExit(f"\n{stopped}") from None
    except (ValueError, OSError, FloatingPointError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{run.folder}: best validation CER {run.best_cer:.2%}")


if __name__ == "__main__":
    main()
