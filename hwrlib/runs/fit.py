"""`fit`, a whole training run, which notebooks, papermill and the command line share.

    python -m hwrlib.runs.fit -f notebooks/params/names.yaml --run runs/names [--resume]
    accelerate launch -m hwrlib.runs.fit -f ...            # several GPUs or machines

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

import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from hwrlib.collate import Batch, eval_loader, train_loader
from hwrlib.common.files import locked, with_remedy
from hwrlib.common.progress import Progress, duration, logger, logging_to
from hwrlib.models.locate import BEST, RESUME
from hwrlib.models.recognizer import LANGUAGE_SUFFIX
from hwrlib.models.transfer import load_initial
from hwrlib.runs.checkpointer import Checkpointer
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.language import leave_language, read_texts
from hwrlib.runs.state import Training, new_training, on_cpu
from hwrlib.runs.training_data import check_files, digest, training_data
from hwrlib.sets.dataset import JoinedLines, LineDataset
from hwrlib.train import Evaluation, evaluate, train_one_epoch

ALL_BLANK = (
    "epoch %d: every validation line is read as empty. CTC trainings start on this plateau and leave it within a few "
    "passes; one that does not needs model: residual with shortcut: 0.3, a smaller batch_size or another learning_rate, or "
    "has labels that do not belong to their images (look at them in notebook 01)"
)


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
    """Train a recogniser and save everything about it in a folder.

    Args:
        config: all knobs.
        run_dir: the run's folder; by default a new one in `runs/`, named for the time.
        resume: continue the training that was started in `run_dir` (from its start if nothing was saved yet).
        sets: the lines to train on and those to validate on; by default the splits of `config.data`.
        on_epoch: called with the history after each epoch, to draw curves.
        on_step: called after every optimizer step, to watch (`hwrlib.live.watch`).
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
    # Read before the training starts, so that a bad file does not end it hours later.
    initial = load_initial(config.start_from) if config.start_from else None
    more_texts = read_texts(config.language_text) if config.language_text else ()
    with _opened_folder(run_dir, resume) as folder, with_remedy(folder), logging_to(folder / "train.log"):
        lines, validation_set, charset = training_data(config, sets)
        digests = digest(*lines.datasets), digest(validation_set)
        batches = math.ceil(len(lines) / config.batch_size)
        training = new_training(config, charset, batches, initial=initial, lines=digests)
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
            _leave_language(checkpointer, lines, validation_set, more_texts)
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
    accelerator, config = training.accelerator, training.config
    sampler, prepared = loader.batch_sampler, accelerator.prepare(loader)

    def after_step(batch: Batch) -> None:
        if accelerator.is_main_process:
            progress.step(training.batch, len(batch.texts), training.losses[-1])
        if accelerator.sync_gradients:  # the weights could have been updated
            checkpointer.after_step()
            on_step(training)

    while training.epoch < config.epochs and not training.is_stalled():
        started, done, title = time.perf_counter(), training.batch, f"epoch {training.epoch + 1}/{config.epochs}"
        sampler.start_at(training.epoch, start=done * accelerator.num_processes)
        progress = Progress(title, len(prepared), done=done)
        bar = tqdm(prepared, desc=title, leave=False, disable=True if os.environ.get("TQDM_DISABLE") else None)
        train_one_epoch(training, bar, after_step=after_step)
        seconds, batches = time.perf_counter() - started, training.batch - done
        validation = evaluate(training.best_model, validation_loader, training.charset)
        training.end_epoch(validation.loss, validation.scores, seconds=seconds, batches=batches)
        checkpointer.after_epoch()
        report_epoch(training, validation)
        on_epoch(pd.DataFrame(training.history))
        checkpointer.stop_if_requested()


def report_epoch(training: Training, validation: Evaluation) -> None:
    """Log the epoch that has just ended, in the main process; warn if the model still reads nothing."""
    if not training.accelerator.is_main_process:
        return
    row, left = training.history[-1], training.config.epochs - training.epoch
    logger.info(
        "epoch %d/%d: train loss %.4f, validation CER %.2f %%, exact %.2f %%, %.0f lines/s, %s left",
        row["epoch"],
        training.config.epochs,
        row["train_loss"],
        100 * row["validation_cer"],
        100 * row["validation_exact"],
        row["images_per_second"],
        duration(left * row["seconds"]),
    )
    if training.epoch in (1, 4, 16) and not any(validation.hypotheses):
        logger.warning(ALL_BLANK, training.epoch)


def _leave_group() -> None:
    """Destroy the process group before Python ends (PyTorch issue 190489).

    DistributedDataParallel keeps its threads alive to the end. One that releases a tensor while Python is shutting down
    aborts the process, so they get time to release the last ones.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()  # models of finished trainings, which refer to the group
        torch.distributed.destroy_process_group()
        time.sleep(0.5)


def _leave_language(
    checkpointer: Checkpointer, lines: JoinedLines, validation_set: LineDataset, more: Sequence[str] | Mapping[str, float]
) -> None:
    """Save the language model of a finished training beside its best model, or remove an earlier one."""
    order, path = checkpointer.training.config.language_order, checkpointer.folder / BEST
    if not order:
        return path.with_suffix(LANGUAGE_SUFFIX).unlink(missing_ok=True)
    labels = [text for part in lines.datasets for text in part.texts]
    try:
        leave_language(checkpointer.best_recognizer(), path, labels, validation_set, order=order, more=more)
    except (ValueError, OSError) as error:  # the model is saved, and worth more
        logger.warning("no language model was saved: %s; fit it with: python -m hwrlib.runs.language %s", error, path.parent)


def new_run_folder(runs_dir: str | Path = "runs") -> Path:
    """Make `runs/run_YYYYMMDD_HHMMSS_checkpoints`; if it exists already, wait for the next second."""
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
    folder, processes = Path(run_dir) if run_dir else None, PartialState(cpu=on_cpu())
    if processes.num_processes > 1:
        atexit.unregister(_leave_group)  # of an earlier training
        atexit.register(_leave_group)
    with ExitStack() as lock:
        if processes.is_main_process:
            folder = folder or new_run_folder()
            lock.enter_context(locked(folder, wait=False))
            if not resume and (folder / RESUME).exists():
                raise FileExistsError(
                    f"{folder}: a training was started here already; set resume to continue it, or choose another folder"
                )
            with with_remedy(folder):
                folder.mkdir(parents=True, exist_ok=True)
        yield broadcast_object_list([folder])[0]


def main() -> None:
    """Run the command line: `python -m hwrlib.runs.fit -f FILE.yaml [--run FOLDER] [--resume]`."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.runs.fit", description="Train a recogniser outside a notebook.")
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
