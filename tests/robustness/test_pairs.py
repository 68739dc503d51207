"""Every pair of jobs that can meet in one folder, started together in two processes: nothing is mixed or lost."""

import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from kills import processes

from hwrlib import synthetic, train
from hwrlib.images import Normalisation
from hwrlib.models.checkpoint import load_model
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.sets import cache
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import SPLITS, read_labels
from hwrlib.sources import layout, prepare_folder, prepare_kaggle, prepare_layout
from hwrlib.synthetic import dataset

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs processes that are forked")


def together(*jobs: tuple[Callable, tuple]) -> list:
    """Start jobs at the same moment, each in a process of its own; what each returned, or the name of its error."""
    context = processes()
    barrier, results = context.Barrier(len(jobs)), context.Queue()
    started = [
        context.Process(target=do, args=(number, job, arguments, barrier, results))
        for number, (job, arguments) in enumerate(jobs)
    ]
    for process in started:
        process.start()
    outcomes = dict(results.get(timeout=120) for _ in started)
    for process in started:
        process.join()
    return [outcomes[number] for number in range(len(jobs))]


def do(number: int, job: Callable, arguments: tuple, barrier, results) -> None:
    """Wait for the others, do the job, send the outcome."""
    torch.set_num_threads(1)
    barrier.wait(60)
    try:
        outcome = job(*arguments)
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    results.put((number, outcome))


def slowed(function: Callable, seconds: float) -> Callable:
    """The same function, so slow that two processes surely meet."""
    return lambda *arguments, **named: time.sleep(seconds) or function(*arguments, **named)


def assert_whole(folder: Path, counts: tuple[int, ...]) -> None:
    """Every table has its rows and every row its image, and nothing else is beside the set."""
    for split, count in zip(SPLITS, counts):
        names = set(read_labels(folder / f"{split}.csv")["FILENAME"])
        assert len(names) == count and names == {path.name for path in (folder / split).iterdir()}
    assert not [path for path in folder.parent.glob(f".{folder.name}.*") if path.suffix != ".lock"]


# Preparing and rendering ---------------------------------------------------------------------------------------------


def prepare(kind: str, source: Path, out: Path, overwrite: bool = False) -> str:
    layout._is_image = slowed(layout._is_image, 0.005)
    if kind == "folder":
        prepare_folder(source / "train", source / "train.csv", out, overwrite=overwrite)
    else:
        {"kaggle": prepare_kaggle, "layout": prepare_layout}[kind](source, out, overwrite=overwrite)
    return "prepared"


@pytest.mark.parametrize("kind", ["kaggle", "layout", "folder"])
def test_two_that_prepare_one_set(kind, drawn_set, tmp_path):
    source, counts = drawn_set, (77, 10, 9) if kind == "folder" else (96, 24, 12)
    if kind == "kaggle":
        source = tmp_path / "kaggle.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for split in SPLITS:
                archive.write(drawn_set / f"{split}.csv", f"written_name_{split}_v2.csv")
                for path in (drawn_set / split).iterdir():
                    archive.write(path, f"{split}_v2/{split}/{path.name}")
    outcomes = together(*[(prepare, (kind, source, tmp_path / "out"))] * 2)
    first, second = sorted(outcomes, reverse=True)
    assert first == "prepared" and second.startswith("AlreadyPrepared: ")
    assert_whole(tmp_path / "out", counts)


def test_two_that_replace_one_set(drawn_set, tmp_path):
    prepare("layout", drawn_set, tmp_path / "out")
    assert together(*[(prepare, ("layout", drawn_set, tmp_path / "out", True))] * 2) == ["prepared"] * 2
    assert_whole(tmp_path / "out", (96, 24, 12))


def render(out: Path, seed: int) -> bool:
    dataset.render_name = slowed(dataset.render_name, 0.01)
    return synthetic.generate(out, train=20, validation=5, test=5, seed=seed, alphabets=["school-0"])


@pytest.mark.parametrize("seeds, outcomes", [((1, 1), [False, True]), ((1, 2), [True, True])])
def test_two_that_render_one_set(seeds, outcomes, tmp_path):
    assert sorted(together(*((render, (tmp_path / "out", seed)) for seed in seeds))) == outcomes
    assert_whole(tmp_path / "out", (20, 5, 5))


# Caching and training ------------------------------------------------------------------------------------------------


def open_lines(folder: Path, normalisation: Normalisation) -> tuple[int, int]:
    """How many images were decoded, and the ink of all lines."""
    decoded, real = [], cache.normalise

    def watched(path, normalisation):
        decoded.append(path)
        return real(path, normalisation)

    cache.normalise = slowed(watched, 0.005)
    lines = LineDataset(folder, "train", normalisation)
    return len(decoded), int(sum(lines[i].ink.sum(dtype=np.int64) for i in range(len(lines))))


def test_two_that_cache_one_split(drawn_set, tmp_path):
    shutil.copytree(drawn_set, tmp_path / "set", ignore=shutil.ignore_patterns(".cache"))
    sizes = Normalisation(height=16, max_width=64, min_width=16)
    first, second = together(*[(open_lines, (tmp_path / "set", sizes))] * 2)
    assert sorted((first[0], second[0])) == [0, 96] and first[1] == second[1] > 0
    assert sorted(path.suffix for path in (tmp_path / "set" / ".cache").iterdir()) == [".ink", ".json", ".lock"]


def learn(config: TrainConfig, run_dir: Path | None, resume: bool = False) -> str:
    train.train_step = slowed(train.train_step, 0.05)
    return str(fit(config, run_dir, resume=resume).folder)


@pytest.mark.parametrize("resume", [False, True])
def test_two_trainings_in_one_folder(tiny, tmp_path, resume):
    run = tmp_path / "run"
    configs = [tiny(epochs=2, hidden=hidden, train_limit=48) for hidden in (8, 16)]
    outcomes = together(*((learn, (config, run, resume)) for config in configs))
    winner = outcomes.index(str(run))
    assert outcomes[1 - winner].startswith(f"Busy: {run}: another process is writing there")
    model, *_, record = load_model(run / "best_model.pth")
    assert record["config"]["hidden"] == configs[winner].hidden
    assert TrainConfig.from_record(record["config"]) == configs[winner]
    assert len(pd.read_csv(run / "history.csv")) == 2
    assert (run / "train.log").read_text(encoding="utf-8").count("epoch 1/2:") == 1


def learn_in(folder: Path, config: TrainConfig) -> str:
    os.chdir(folder)
    return learn(config, None)


def test_two_trainings_without_a_name(tiny, tmp_path):
    config = tiny(epochs=1, hidden=8, train_limit=12)
    first, second = together(*[(learn_in, (tmp_path, config))] * 2)
    assert first != second and all((tmp_path / run / "best_model.pth").is_file() for run in (first, second))


def replace_often(source: Path, out: Path) -> str:
    for _ in range(20):
        prepare_layout(source, out, overwrite=True)
    return "prepared"


def test_a_training_whose_set_is_replaced(drawn_set, tiny, tmp_path):
    """It ends well or with an error that says what happened, and can then be continued: the lines are the same."""
    prepare_layout(drawn_set, tmp_path / "set")
    config = tiny(epochs=2, hidden=8, data=str(tmp_path / "set"))
    outcome, prepared = together((learn, (config, tmp_path / "run")), (replace_often, (drawn_set, tmp_path / "set")))
    assert prepared == "prepared"
    told = ("removed or replaced by another process", "no such table", "no such folder", "images cannot be read")
    assert outcome == str(tmp_path / "run") or any(reason in outcome for reason in told)
    assert_whole(tmp_path / "set", (96, 24, 12))
    assert len(fit(config, tmp_path / "run", resume=True).history) == 2
