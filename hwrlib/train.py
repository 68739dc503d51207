"""Training: the loss of a batch, one step, one epoch, and the evaluation after it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hwrlib.charset import Charset
from hwrlib.collate import Batch
from hwrlib.ctc import ctc_loss, greedy_decode
from hwrlib.metrics import Scores, score
from hwrlib.model import CRNN
from hwrlib.reader import frames_of

Distortion = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # images (N, 1, H, W), image_widths (N,) -> the same


def loss_of(model: nn.Module, batch: Batch, distort: Distortion | None = None, shortcut: float = 0.0) -> Tensor:
    """What a training minimises: the CTC loss per character of a batch, a scalar in nats.

    Args:
        model: a `CRNN`, or a wrapper around one.
        batch: on the model's device.
        distort: draws a variation of every image, for instance `augment`; None: the images as they are.
        shortcut: weight of the loss of the model's shortcut head, if it has one.
    """
    images, image_widths = distort(batch.images, batch.image_widths) if distort else batch[:2]  # (N, 1, H, W), (N,)
    log_probs, input_lengths, shortcut_log_probs = model(images, image_widths)  # (T, N, C), (N,), (T, N, C) or None
    loss = ctc_loss(log_probs, batch, input_lengths).mean()
    if shortcut_log_probs is not None:
        loss = loss + shortcut * ctc_loss(shortcut_log_probs, batch, input_lengths).mean()
    return loss


class Learner(Protocol):
    """What `train_step` needs: the model, and the optimizer's part; implemented by `hwrlib.runs.state.Training`."""

    model: nn.Module
    shortcut: float  # weight of the shortcut head's loss

    def distort(self, images: Tensor, image_widths: Tensor) -> tuple[Tensor, Tensor]: ...

    def step(self) -> AbstractContextManager: ...  # context of one step: seeds the random state, accumulates gradients

    def descend(self, loss: Tensor, batch: Batch) -> None: ...  # backward pass; optimizer step once enough are accumulated


def train_step(learner: Learner, batch: Batch) -> Tensor:
    """Learn from one batch on the model's device; returns its loss, nats per character."""
    loss = loss_of(learner.model, batch, learner.distort, learner.shortcut)
    learner.descend(loss, batch)
    return loss.detach()


def train_one_epoch(
    learner: Learner, loader: Iterable[Batch], *, after_step: Callable[[Batch], None] = lambda batch: None
) -> float:
    """Take one step for each batch.

    Args:
        learner: changed.
        loader: batches of the training split, on the model's device.
        after_step: called with the batch of each step.
    Returns:
        The mean of the losses that are finite, nats per character.
    """
    learner.model.train()
    losses = []
    for batch in loader:
        with learner.step():
            losses.append(float(train_step(learner, batch)))
        after_step(batch)
    return finite_mean(losses)


def finite_mean(losses: Iterable[float]) -> float:
    """The mean of the losses that are finite; NaN if none is."""
    finite = [loss for loss in losses if np.isfinite(loss)]
    return float(np.mean(finite)) if finite else float("nan")


class Evaluation(NamedTuple):
    """What a model reads in a split, and how right it is."""

    loss: float  # mean CTC loss over all lines, nats per character
    scores: Scores
    names: list[str]
    references: list[str]
    hypotheses: list[str]


@torch.inference_mode()
def evaluate(model: CRNN, loader: DataLoader, charset: Charset) -> Evaluation:
    """Read every line of a loader greedily and score it.

    Args:
        model: on any device; set to evaluation mode.
        loader: of a split, each line once.
        charset: of the model.
    Raises:
        RuntimeError: the loader yielded another number of lines than its data set holds.
        ValueError: the model's output is not a number somewhere.
    """
    losses, names, references, hypotheses = [], [], [], []
    for batch in loader:
        log_probs, input_lengths = frames_of(model, batch.images.numpy(), batch.image_widths.numpy())  # (T, N, C), (N,)
        # PyTorch's own loss: it is infinite, not an error, for a label that needs more frames than its image has.
        frames, lengths = torch.from_numpy(log_probs), torch.from_numpy(input_lengths)
        loss = F.ctc_loss(frames, batch.targets, lengths, batch.target_lengths, reduction="none")
        losses += (loss / batch.target_lengths.clamp(min=1))[loss.isfinite()].tolist()
        names, references = names + list(batch.names), references + list(batch.texts)
        hypotheses += [charset.decode(classes) for classes in greedy_decode(log_probs, input_lengths)]
    if len(references) != len(loader.dataset):
        raise RuntimeError(f"evaluated {len(references)} lines of {len(loader.dataset)}")
    return Evaluation(finite_mean(losses), score(references, hypotheses), names, references, hypotheses)
