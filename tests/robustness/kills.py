"""Jobs that are killed at random moments and restarted until they finish: preparing, caching, training, reading, sweeps.

Each job runs in its own process, forked from a server that has imported everything already, so a kill hits the work and
not the imports.
"""

import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch

from hwrlib.batch import pages, read, sweep
from hwrlib.common.files import find_images
from hwrlib.images import Normalisation
from hwrlib.models import table as table_module
from hwrlib.models.checkpoint import load_safely
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset
from hwrlib.sources import AlreadyPrepared, prepare_layout


def prepare_job(source: Path, out: Path) -> None:
    """Import a data set."""
    try:
        prepare_layout(source, out)
    except AlreadyPrepared:
        pass


def replace_job(source: Path, out: Path) -> None:
    """Import a data set again, in place of the earlier one."""
    prepare_layout(source, out, overwrite=True)


def cache_job(folder: Path, normalisation: Normalisation) -> None:
    """Decode and normalise a split."""
    LineDataset(folder, "train", normalisation)


def train_job(config: TrainConfig, run_dir: Path) -> None:
    """Train, or continue the training."""
    torch.set_num_threads(1)
    fit(config, run_dir, resume=True)
    assert load_safely(run_dir / "best_model.pth")


def read_job(checkpoint: Path, folder: Path, table: Path) -> None:
    """Read a folder into a table."""
    torch.set_num_threads(1)
    table_module.CHUNK = 4  # so that rows are written often
    recognizer = Recognizer.from_checkpoint(checkpoint, device="cpu")
    assert recognizer.read_to_csv(find_images(folder), table, batch_size=4) == []


def bulk_job(checkpoint: Path, folder: Path, table: Path) -> None:
    """Read a folder in bulk."""
    torch.set_num_threads(1)
    read.CHUNK = 4
    assert read.read_many(folder, table, model=str(checkpoint)).failed == []


def pages_job(checkpoint: Path, folder: Path, out: Path) -> None:
    """Read a folder of pages, each into a document."""
    torch.set_num_threads(1)
    assert pages.read_pages(folder, out, form="alto", model=str(checkpoint)).failed == []


def sweep_job(path: Path, out: Path) -> None:
    """Run a sweep, whose notebooks only train; they run here, as a kernel takes seconds to start."""
    torch.set_num_threads(1)
    sweep.execute = lambda notebook, values, run_dir, recipe: fit(TrainConfig.from_yaml(recipe), run_dir, resume=True)
    assert not any(outcome.error for outcome in sweep.run_sweep(path, out, report=lambda line: None))


def processes() -> multiprocessing.context.BaseContext:
    """The context in which jobs are started."""
    context = multiprocessing.get_context("forkserver")
    # Installed modules only: the server does not know the path of this one, and ignores what it cannot import.
    context.set_forkserver_preload(
        [
            "pytest",
            "hwrlib.sources",
            "hwrlib.models.recognizer",
            "hwrlib.runs.fit",
            "hwrlib.batch.pages",
            "hwrlib.batch.sweep",
        ]
    )
    return context


def killed_and_restarted(
    job: Callable,
    arguments: tuple,
    *,
    kills: int,
    seconds: float,
    seed: int,
    undo: Callable[[], None],
    check: Callable[[], None] = lambda: None,
) -> int:
    """Run a job and kill it at random moments, over and over; after the last kill it may finish.

    Args:
        job, arguments: what to run.
        kills: number of times the job is killed.
        seconds: duration of the job without kills; moments are drawn from this range.
        seed: of the moments.
        undo: removes what the job made; called if it finished before the last kill.
        check: called after each kill; asserts what must hold for the files that are left.
    Returns:
        How often the job was killed.
    """
    moments, context, done = random.Random(seed), processes(), 0
    while True:
        process = context.Process(target=job, args=arguments)
        process.start()
        process.join(moments.uniform(0, seconds) if done < kills else None)
        if process.is_alive():
            process.kill()
            process.join()
            done += 1
            check()
        elif process.exitcode != 0:
            raise AssertionError(f"{job.__name__} failed after {done} kills")
        elif done < kills:
            undo()
        else:
            return done


def duration(job: Callable, arguments: tuple) -> float:
    """Seconds that a job takes if nothing disturbs it."""
    first = processes().Process(target=int)  # starts the server
    first.start()
    first.join()
    process = processes().Process(target=job, args=arguments)
    began = time.perf_counter()
    process.start()
    process.join()
    if process.exitcode:
        raise AssertionError(f"{job.__name__} failed undisturbed")
    return time.perf_counter() - began
