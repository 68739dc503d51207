"""Training: one step, one epoch, and the evaluation after it."""

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss as plain_ctc_loss
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hwrlib.augment import augment, erase, photograph
from hwrlib.charset import Charset
from hwrlib.collate import Batch
from hwrlib.ctc import ctc_loss, greedy_decode
from hwrlib.metrics import Scores, score
from hwrlib.model import CRNN
from hwrlib.progress import Progress
from hwrlib.state import Training, autocast

# One step ------------------------------------------------------------------------------------------------------------


def train_step(training: Training, batch: Batch) -> Tensor:
    """Learn from one batch: augment, read, compare with the labels, move the weights.

    Args:
        training: whose model and optimizers are used.
        batch: on the training's device.
    Returns:
        The loss, nats per character. A loss that is not finite moves no weight.
    """
    images, image_widths = augment(batch.images, batch.image_widths, training.config.augment)  # (N, 1, H, W), (N,)
    images = photograph(erase(images, training.config.erase), image_widths, training.config.photo)
    with training.autocast():
        log_probs, input_lengths, shortcut = training.model(images, image_widths)  # (T, N, C), (N,), (T, N, C)
    loss = ctc_loss(log_probs, batch, input_lengths).mean()
    if shortcut is not None:
        loss = loss + training.config.shortcut * ctc_loss(shortcut, batch, input_lengths).mean()
    if training.accepts(loss, batch):
        training.accelerator.backward(training.scaler.scale(loss))  # the scaler acts in fp16 only
        if training.accelerator.sync_gradients:  # enough batches accumulated
            training.update_weights()
    return loss.detach()


def train_one_epoch(training: Training, loader: DataLoader, *, after_step: Callable[[], None] = lambda: None) -> float:
    """Take the remaining steps of the current epoch.

    Args:
        training: moved forward.
        loader: of the training split, prepared by Accelerate, set to the epoch and the batch to start with.
        after_step: called whenever the weights could have been updated: after every `accumulation` batches.
    Returns:
        The mean loss of the epoch's batches, nats per character.
    """
    training.model.train()
    title = f"epoch {training.epoch + 1}/{training.config.epochs}"
    progress = Progress(title, len(loader), done=training.batch)
    for batch in tqdm(loader, desc=title, leave=False, disable=True if os.environ.get("TQDM_DISABLE") else None):
        _seed_step(training.config.seed, training.epoch, training.batch, training.accelerator.process_index)
        with training.accelerator.accumulate(training.model):
            training.losses.append(float(train_step(training, batch)))
        training.batch += 1
        if training.accelerator.is_main_process:
            progress.step(training.batch, len(batch.texts), training.losses[-1])
        if training.accelerator.sync_gradients:
            after_step()
    losses = np.array(training.losses[-training.batch :])
    return float(losses[np.isfinite(losses)].mean())


def _seed_step(*place: int) -> None:
    """Set torch's random state from the place of a step, so that it never depends on the steps before."""
    torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))


class Evaluation(NamedTuple):
    """What a model reads in a split, and how right it is."""

    loss: float  # mean CTC loss over all lines, nats per character
    scores: Scores
    names: list[str]
    references: list[str]
    hypotheses: list[str]


@torch.inference_mode()
def evaluate(model: CRNN, loader: DataLoader, charset: Charset, *, precision: str = "fp32") -> Evaluation:
    """Read every line of a loader greedily and score it.

    Args:
        model: on its device; set to evaluation mode.
        loader: of a split, each line once.
        charset: of the model.
        precision: "fp32", "bf16" or "fp16".
    Raises:
        RuntimeError: the loader yielded another number of lines than its data set holds.
    """
    model.eval()
    device = next(model.parameters()).device
    losses, names, references, hypotheses = [], [], [], []
    for batch in loader:
        batch = batch.to(device)
        with autocast(device, precision):
            log_probs, input_lengths, _ = model(batch.images, batch.image_widths)
        # A label that needs more frames than its image has cannot be written: its infinite loss does not count.
        loss = plain_ctc_loss(log_probs, batch.targets, input_lengths, batch.target_lengths, reduction="none")
        losses += (loss / batch.target_lengths.clamp(min=1))[loss.isfinite()].tolist()
        names, references = names + list(batch.names), references + list(batch.texts)
        hypotheses += [charset.decode(classes) for classes in greedy_decode(log_probs.cpu(), input_lengths.cpu())]
    if len(references) != len(loader.dataset):
        raise RuntimeError(f"evaluated {len(references)} lines of {len(loader.dataset)}")
    return Evaluation(float(np.mean(losses)), score(references, hypotheses), names, references, hypotheses)
