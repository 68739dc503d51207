"""Training: `train_step`, `train_one_epoch`, `evaluate`, and `fit`, which notebooks, papermill and the command line share.

    python -m hwrlib.train -f notebooks/params/names.yaml --run runs/names [--resume]
    accelerate launch -m hwrlib.train -f ...            # several GPUs or machines

Everything random about a step (dropout, augmentation) follows from the seed, the epoch and the batch alone, and so does
the order of an epoch. A training that was killed and resumed takes the same steps as one that was not, and on a CPU it
ends with the same weights, bit for bit.
"""

import argparse
import atexit
import gc
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.nn.functional import ctc_loss as plain_ctc_loss
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hwrlib import checkpoint
from hwrlib.augment import augment, erase, photograph
from hwrlib.charset import Charset
from hwrlib.checkpoint import Checkpointer
from hwrlib.config import TrainConfig
from hwrlib.ctc import ctc_loss, greedy_decode
from hwrlib.data import Batch, JoinedLines, LineDataset, eval_loader, train_loader
from hwrlib.files import locked, with_remedy
from hwrlib.metrics import Scores, score
from hwrlib.model import CRNN
from hwrlib.progress import Progress, logger, logging_to, report_epoch
from hwrlib.state import Training, autocast, on_cpu, start
from hwrlib.training_data import check_files, digest, training_data

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


# A whole run ---------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """A training's result."""

    folder: Path  # with best_model.pth and .lm, history.csv, losses.csv, config.json, train.log, tensorboard/
    history: pd.DataFrame  # a row per epoch
    best_cer: float  # on the validation split, a fraction


def fit(
    config: TrainConfig,
    run_dir: str | Path | None = None,
    *,
    resume: bool = False,
    sets: tuple[LineDataset, LineDataset] | None = None,
    on_epoch: Callable[[pd.DataFrame], None] = lambda history: None,
    on_step: Callable[[Training], None] = lambda training: None,
) -> Run:
    """Train a recogniser and leave everything about it in a folder.

    Args:
        config: all knobs.
        run_dir: the run's folder; by default a new one in `runs/`, named for the time.
        resume: continue the training that was started in `run_dir` (from its start if nothing was saved yet).
        sets: the lines to train on and those to validate on; by default the splits of `config.data`.
        on_epoch: called with the history after each epoch, to draw curves.
        on_step: called whenever the weights could have been updated, to watch (`hwrlib.live.watch`).
    Returns:
        The folder, the history and the best validation CER.
    Raises:
        Busy: another training is running in `run_dir`.
        FileExistsError: `run_dir` holds a training already, and `resume` is off.
        FileNotFoundError: a file that the configuration names is missing; nothing has been done then.
        ValueError: labels do not fit their images, `language_text` holds no text, or `resume` finds another configuration,
            other images or other labels.
        KeyboardInterrupt: the training was interrupted; its state is saved.
    """
    if not isinstance(resume, bool):
        raise ValueError(f"resume must be True or False, not {resume!r}")
    check_files(config, with_data=sets is None)
    more_texts = _texts_for_language(config)
    with _opened_folder(run_dir, resume) as folder, with_remedy(folder), logging_to(folder / "train.log"):
        lines, validation_set, charset = training_data(config, sets)
        digests = digest(*lines.datasets), digest(validation_set)
        training = start(config, charset, math.ceil(len(lines) / config.batch_size), lines=digests)
        checkpointer = Checkpointer(training, folder)
        if resume:
            checkpointer.restore()
        options = dict(batch_size=config.batch_size, seed=config.seed, workers=config.workers)
        processes, shares = training.accelerator.num_processes, lines.shares(config.balance)
        loader = train_loader(lines, charset, processes=processes, shares=shares, **options)
        validation_loader = eval_loader(validation_set, charset, workers=config.workers)
        with with_remedy(folder, kept="the last saved checkpoint is intact"), checkpointer:
            _run_epochs(training, checkpointer, loader, validation_loader, on_epoch, on_step)
        if training.accelerator.is_main_process:
            _leave_language(folder, config, lines, validation_set, more_texts)
    history = pd.DataFrame(training.history)
    return Run(folder, history, float(history["validation_cer"].min()))


def _run_epochs(
    training: Training,
    checkpointer: Checkpointer,
    loader: DataLoader,
    validation_loader: DataLoader,
    on_epoch: Callable[[pd.DataFrame], None],
    on_step: Callable[[Training], None],
) -> None:
    def after_step() -> None:
        checkpointer.after_step()
        on_step(training)

    sampler, prepared = loader.batch_sampler, training.accelerator.prepare(loader)
    while training.epoch < training.config.epochs and not training.is_stalled():
        started, done = time.perf_counter(), training.batch
        sampler.start_at(training.epoch, start=done * training.accelerator.num_processes)
        train_loss = train_one_epoch(training, prepared, after_step=after_step)
        seconds, batches = time.perf_counter() - started, training.batch - done
        validation = evaluate(training.best_model, validation_loader, training.charset, precision=training.precision)
        training.end_epoch(train_loss, validation, seconds=seconds, batches=batches)
        checkpointer.after_epoch()
        report_epoch(training, validation)
        on_epoch(pd.DataFrame(training.history))
        checkpointer.stop_if_requested()


@atexit.register
def _leave_group() -> None:
    """Leave the other processes, if any, before Python ends (PyTorch issue 190489).

    Their connections have threads, which DistributedDataParallel keeps alive to the end. One that lets go of a tensor while
    Python is already ending aborts the process, so they get time to let go of the last ones.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # models of finished trainings, which refer to the group
        torch.distributed.destroy_process_group()
        time.sleep(0.5)


def _texts_for_language(config: TrainConfig) -> Sequence[str] | Mapping[str, float]:
    """The texts of `language_text`, read before the training starts, so that a bad file does not end it hours later."""
    from hwrlib.language.fitting import read_texts  # a drawer: imported where it is used

    return read_texts(config.language_text) if config.language_text else ()


def _leave_language(
    folder: Path,
    config: TrainConfig,
    lines: JoinedLines,
    validation_set: LineDataset,
    more: Sequence[str] | Mapping[str, float],
) -> None:
    """Save the language model of a finished training beside its best model; without one, no earlier one is left there."""
    from hwrlib.language.fitting import leave_language
    from hwrlib.recognizer import LANGUAGE_SUFFIX

    if not config.language_order:
        return (folder / checkpoint.BEST).with_suffix(LANGUAGE_SUFFIX).unlink(missing_ok=True)
    labels = [text for part in lines.datasets for text in part.texts]
    try:
        leave_language(folder / checkpoint.BEST, labels, validation_set, order=config.language_order, more=more)
    except (ValueError, OSError) as error:  # the model is there, and worth more
        logger.warning("no language model was left: %s; fit it with: python -m hwrlib.language %s", error, folder)


def new_run_folder(runs_dir: str | Path = "runs") -> Path:
    """Make `runs/run_YYYYMMDD_HHMMSS_checkpoints`; of several calls within a second, each waits for a second of its own."""
    while True:
        folder = Path(runs_dir) / f"run_{datetime.now():%Y%m%d_%H%M%S}_checkpoints"
        try:
            with with_remedy(folder):
                folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            time.sleep(0.1)


@contextmanager
def _opened_folder(run_dir: str | Path | None, resume: bool) -> Iterator[Path]:
    """The run's folder, locked against other trainings while the block runs; the main process decides for all."""
    folder, is_main = Path(run_dir) if run_dir else None, PartialState(cpu=on_cpu()).is_main_process
    with ExitStack() as lock:
        if is_main:
            folder = folder or new_run_folder()
            lock.enter_context(locked(folder, wait=False))
            if not resume and (folder / checkpoint.RESUME).exists():
                raise FileExistsError(
                    f"{folder}: a training was started here already; set resume to continue it, or choose another folder"
                )
            with with_remedy(folder):
                folder.mkdir(parents=True, exist_ok=True)
        yield broadcast_object_list([folder])[0]


def main() -> None:
    """Run the command line: `python -m hwrlib.train -f FILE.yaml [--run FOLDER] [--resume]`."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.train", description="Train a recogniser outside a notebook.")
    parser.add_argument("-f", "--file", required=True, help="recipe, a YAML file of knobs (see notebooks/params/)")
    parser.add_argument("--run", help="the run's folder; by default a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="continue the training that was started in --run")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    try:
        with logging_redirect_tqdm():
            run = fit(TrainConfig.from_yaml(arguments.file), arguments.run, resume=arguments.resume)
    except KeyboardInterrupt as stopped:
        raise SystemExit(f"\n{stopped}") from None
    except (ValueError, OSError, FloatingPointError) as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{run.folder}: best validation CER {run.best_cer:.2%}")


if __name__ == "__main__":
    main()
