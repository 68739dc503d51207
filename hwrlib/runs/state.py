"""The state of a training: model, optimizers, schedules, counters and history; what a checkpoint restores."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from hwrlib.augment import augment, erase
from hwrlib.charset import Charset
from hwrlib.collate import Batch
from hwrlib.metrics import Scores
from hwrlib.model import ARCHITECTURES, CRNN
from hwrlib.models.checkpoint import named_by_stage
from hwrlib.models.precision import resolve_precision
from hwrlib.models.transfer import Initial, start_from
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.optim import build_optimizers, build_schedulers, ema_update
from hwrlib.synthetic.paper import photograph
from hwrlib.train import finite_mean

MAX_BAD_STEPS = 20  # losses in a row that are not finite before training stops


@dataclass
class Training:
    """The state of a training."""

    config: TrainConfig
    charset: Charset
    accelerator: Accelerator
    model: nn.Module  # as Accelerate wraps it
    averaged: AveragedModel | None  # the moving average of its weights
    optimizers: list[torch.optim.Optimizer]
    schedulers: list[LambdaLR]
    scaler: torch.amp.GradScaler  # keeps fp16 gradients from underflowing; idle in other precisions
    lines: tuple[str, str]  # digests of the lines to train on and of those to validate on, with their labels
    epoch: int = 0  # finished epochs
    batch: int = 0  # finished batches of the current epoch
    skipped_batches: int = 0  # batches of the current epoch whose loss was not finite
    bad_steps: int = 0  # the same, in a row
    losses: list[float] = field(default_factory=list)  # of every batch so far
    history: list[dict[str, Any]] = field(default_factory=list)  # of every epoch so far

    @property
    def plain_model(self) -> CRNN:
        """The model that is being trained, without wrappers."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def best_model(self) -> CRNN:
        """The model to evaluate and save: with the moving average of the weights if there is one, else the trained ones."""
        return self.averaged.module if self.averaged is not None else self.plain_model

    @property
    def shortcut(self) -> float:
        """Weight of the loss of the shortcut head."""
        return self.config.shortcut

    def distort(self, images: Tensor, image_widths: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as the model sees it in training: (N, 1, H, W) uint8 ink -> float ink in 0 ... 1, and the new widths."""
        images, image_widths = augment(images, image_widths, self.config.augment)
        return photograph(erase(images, self.config.erase), image_widths, self.config.photo), image_widths

    @contextmanager
    def step(self) -> Iterator[None]:
        """Context of one step: seeds the random state from seed, epoch, batch and process; accumulates gradients."""
        place = self.config.seed, self.epoch, self.batch, self.accelerator.process_index
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))
        with self.accelerator.accumulate(self.model):
            yield
        self.batch += 1

    def descend(self, loss: Tensor, batch: Batch) -> None:
        """Compute gradients, and update the weights once enough batches are accumulated; skip a loss that is not finite.

        Raises:
            FloatingPointError: twenty batches in a row had such a loss; the message names samples.
        """
        self.losses.append(float(loss.detach()))
        if self._accepts(loss, batch):
            self.accelerator.backward(self.scaler.scale(loss))  # the scaler acts in fp16 only
            if self.accelerator.sync_gradients:
                self.update_weights()

    def _accepts(self, loss: Tensor, batch: Batch) -> bool:
        """Whether the loss is finite in every process and may move the weights; if not, the batch counts as skipped."""
        # All processes skip together: one that skipped alone would leave the others waiting for its gradients.
        if not self.accelerator.gather(loss.detach().isfinite().logical_not()).any():
            self.bad_steps = 0
            return True
        self.skipped_batches, self.bad_steps = self.skipped_batches + 1, self.bad_steps + 1
        for optimizer in self.optimizers if self.accelerator.sync_gradients else []:
            optimizer.zero_grad()  # of the batches accumulated so far, which would otherwise count for the next update
        if self.bad_steps >= MAX_BAD_STEPS:
            raise FloatingPointError(
                f"the loss was not finite in {MAX_BAD_STEPS} batches in a row, the last with "
                f"{', '.join(batch.names[:5])}; lower learning_rate or use precision: fp32"
            )
        return False

    def update_weights(self) -> None:
        """Clip the gradients, step, advance the schedule and the moving average."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf)
        for optimizer, scheduler in zip(self.optimizers, self.schedulers):
            if norm.isfinite():  # one optimizer's overflow in fp16 must not reach the other by clipping
                self.scaler.step(optimizer)
            optimizer.zero_grad()
            scheduler.step()
        self.scaler.update()
        if self.averaged is not None:
            self.averaged.update_parameters(self.plain_model)

    def end_epoch(self, loss: float, scores: Scores, *, seconds: float, batches: int) -> None:
        """Add the epoch and its validation to the history; `batches` were trained on in `seconds`."""
        lines = batches * self.config.batch_size * self.accelerator.num_processes
        self.history.append(
            {
                "epoch": self.epoch + 1,
                "step": len(self.losses),
                "train_loss": finite_mean(self.losses[-self.batch :]),
                "validation_loss": loss,
                "validation_cer": scores.cer,
                "validation_wer": scores.wer,
                "validation_exact": scores.exact,
                "learning_rate": float(self.schedulers[0].get_last_lr()[0]),
                "seconds": round(seconds, 1),
                "images_per_second": round(lines / seconds, 1),
                "skipped_batches": self.skipped_batches,
            }
        )
        self.epoch, self.batch, self.skipped_batches = self.epoch + 1, 0, 0

    def is_stalled(self) -> bool:
        """Whether the validation CER has not improved for `patience` epochs."""
        values = [row["validation_cer"] for row in self.history]
        patience = self.config.patience
        return bool(patience and values and len(values) - 1 - int(np.argmin(values)) >= patience)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {
            "config": self.config.as_dict(),
            "characters": self.charset.characters,
            "lines": list(self.lines),
            "model": self.plain_model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged is not None else None,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "skipped": self.skipped_batches,
            "losses": torch.tensor(self.losses),
            "history": self.history,
        }

    def differences(self, state: dict[str, Any]) -> list[str]:
        """Why this training cannot continue from a state, if so."""
        if "lines" not in state:
            return ["by an earlier version of hwrlib, if it is the state of a training at all"]
        found = self.config.differences(TrainConfig.from_record(state["config"]))
        if state["characters"] != self.charset.characters:
            found.append("the characters of the training labels")
        elif state["lines"][0] != self.lines[0]:
            found.append("the training lines, their images or their labels")
        if state["lines"][1] != self.lines[1]:
            found.append("the validation lines, their images or their labels")
        return found

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        model = self.plain_model
        model.load_state_dict(named_by_stage(state["model"], model.arguments))
        if self.averaged is not None:
            self.averaged.load_state_dict(named_by_stage(state["averaged"], model.arguments))
        for parts, states in ((self.optimizers, state["optimizers"]), (self.schedulers, state["schedulers"])):
            for part, part_state in zip(parts, states):
                part.load_state_dict(part_state)
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.batch, self.skipped_batches = state["epoch"], state["batch"], state["skipped"]
        self.losses, self.history = state["losses"].tolist(), state["history"]


def new_training(
    config: TrainConfig, charset: Charset, batches: int, *, initial: Initial | None = None, lines: tuple[str, str] = ("", "")
) -> Training:
    """A training at its start.

    Args:
        config: all knobs.
        charset: of the labels.
        batches: per epoch, over all processes.
        initial: the model of `start_from`; None: random weights.
        lines: digests of the training and the validation lines, by which a resumed run recognises them.
    """
    # CPUs compute slowly with denormal floats, which gradients of near-certain frames are; as zeros they make a step a
    # quarter faster and change nothing. Threads that torch has started before keep their setting.
    torch.set_flush_denormal(True)
    accelerator = Accelerator(mixed_precision="no", cpu=on_cpu(), gradient_accumulation_steps=config.accumulation)
    model = build_model(config, len(charset))
    if initial is not None:
        start_from(initial, model, charset)
    model, precision = model.to(accelerator.device), resolve_precision(config.precision, accelerator.device)
    model.precision = precision
    averaged = AveragedModel(model, multi_avg_fn=ema_update(config.ema), use_buffers=True) if config.ema else None
    optimizers = build_optimizers(config, model)
    updates = config.epochs * math.ceil(math.ceil(batches / accelerator.num_processes) / config.accumulation)
    scaler = torch.amp.GradScaler(accelerator.device.type, enabled=precision == "fp16")
    return Training(
        config,
        charset,
        accelerator,
        accelerator.prepare(model),
        averaged,
        optimizers,
        build_schedulers(config, optimizers, updates),
        scaler,
        lines,
    )


def on_cpu() -> bool:
    """Whether there is neither CUDA nor MPS, which Accelerate must be told."""
    # Without a GPU, only cpu=True makes several processes one training (see Accelerate's documentation).
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def build_model(config: TrainConfig, num_classes: int) -> CRNN:
    """The model that a configuration asks for, with weights drawn from its seed."""
    torch.manual_seed(config.seed)
    sizes = list(inspect.signature(ARCHITECTURES[config.model][0]).parameters)[1:]
    return CRNN(num_classes, architecture=config.model, **{name: getattr(config, name) for name in sizes})
