"""hwrlib.batch.sweep: which runs a sweep has, and how they end whatever happens."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from hwrlib.batch.sweep import Sweep, run_sweep
from hwrlib.common.files import Busy

SEEDS = {"learning_rate": [0.003], "seed": [1, 2]}


KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


PARAMETERS = 'run: str = ""  # folder\nrecipe: str = ""  # knobs\nresume: bool = False  # continue'


TRAIN = """import time
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
fit(TrainConfig.from_yaml(recipe), run, resume=resume, on_epoch=lambda history: time.sleep({pause}))"""


@pytest.fixture
def training(tmp_path):
    """A notebook that only trains, as slowly as a test needs; its path."""

    def write(pause: float = 0.0) -> str:
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, TRAIN.format(pause=pause))]
        notebook.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(notebook, tmp_path / "02_training.ipynb")
        return str(tmp_path / "02_training.ipynb")

    return write


@pytest.fixture
def sweep_file(tmp_path, tiny, training):
    """Write a sweep over two seeds and two learning rates of the tiny training; its path."""

    def write(pause: float = 0.0, **changes) -> Path:
        fixed = tiny(epochs=3, language_order=0).changed()
        fixed.pop("learning_rate", None), fixed.pop("seed", None)
        content = {"notebooks": [training(pause)], "fixed": fixed}
        content |= {"grid": {"learning_rate": [0.003, 0.001], "seed": [1, 2]}} | changes
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
        return tmp_path / "small.yaml"

    return write


# Which runs --------------------------------------------------------------------------------------------------------------


def runs(tmp_path, text: str) -> dict:
    (tmp_path / "s.yaml").write_text(text)
    return Sweep.from_yaml(tmp_path / "s.yaml").runs()


def test_grids_rows_and_draws_are_combined(tmp_path):
    found = runs(tmp_path, "grid: {augment: [0.0, 0.5]}\nzip: {height: [32, 40], width: [16, 32]}")
    assert list(found) == [
        "augment=0.0,height=32,width=16",
        "augment=0.0,height=40,width=32",
        "augment=0.5,height=32,width=16",
        "augment=0.5,height=40,width=32",
    ]
    assert found["augment=0.5,height=32,width=16"] == {"augment": 0.5, "height": 32, "width": 16}
    drawn = "random: {hidden: [16, 32, 64, 128], layers: [1, 2, 3]}\ndraws: 5"
    assert runs(tmp_path, drawn) == runs(tmp_path, drawn) and 1 < len(runs(tmp_path, drawn)) <= 5
    assert runs(tmp_path, drawn) != runs(tmp_path, f"{drawn}\nseed: 1")
    assert runs(tmp_path, "fixed: {epochs: 1}") == {"only": {}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grd: {augment: [0.1]}", "unknown entries \\['grd'\\]"),
        ("grid: [augment]", "grid must be a dict"),
        ("grid: {augment: []}", "augment must be a list of values, and not empty"),
        ("grid: {augment: 0.5}", "augment must be a list"),
        ("grid: {augment: [0.1]}\nfixed: {augment: 0.2}", "\\['augment'\\] occur in several"),
        ("zip: {height: [32, 40], width: [16]}", "of one length, not \\[2, 1\\]"),
        ("random: {hidden: [16]}", "needs draws"),
        ("draws: 3", "needs draws"),
        ("grid: {augment: [0.1]", "while parsing"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_said(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"s.yaml: .*{message}"):
        runs(tmp_path, text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"augmnt": [0.1]}}, "unknown parameters \\['augmnt'\\]; known are: .*augment"),
        ({"grid": {"clip_norm": [0.1, "much"]}}, "clip_norm=much: clip_norm must be float"),
        ({"notebooks": ["12_magic"]}, "no notebooks \\['12_magic'\\].*02_training"),
        ({"recipe": "missing.yaml"}, "missing.yaml: no such recipe"),
        ({"grid": {"seed": list(range(101))}}, "101 runs; add --yes"),
        ({"grid": {"characters": ["A" * 300]}}, "too long to name a folder"),
    ],
    ids=["knob", "type", "notebook", "recipe", "many", "long"],
)
def test_nothing_runs_if_anything_is_wrong(sweep_file, tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_sweep(sweep_file(**changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_is_not_there_is_reported(sweep_file, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("hwrlib.batch.parallel.PATIENCE", 1)
    with pytest.raises(ConnectionError, match="no Dask scheduler there.*start one with: dask scheduler"):
        run_sweep(sweep_file(), tmp_path / "out", cluster="tcp://127.0.0.1:9")


# How they end ------------------------------------------------------------------------------------------------------------


def results(out: Path) -> dict[str, float]:
    """What the sweep's table says, without the seconds."""
    return pd.read_csv(out / "sweep.csv").set_index("run")["validation_cer"].to_dict()


@pytest.mark.slow
def test_a_sweep_ends_with_a_table_and_is_not_done_again(sweep_file, tmp_path):
    lines, path, out = [], sweep_file(), tmp_path / "out"
    outcomes = run_sweep(path, out, jobs=2, report=lines.append)
    assert [outcome.error for outcome in outcomes] == [""] * 4
    assert len(results(out)) == 4 and all(np.isfinite(list(results(out).values())))
    assert {path.name for path in out.glob("*/*.ipynb")} == {"02_training.ipynb"}
    assert sum("epoch 3/3" in line for line in lines) == 4 and any("[4/4]" in line for line in lines)
    assert run_sweep(path, out, report=lines.append) == []
    with pytest.raises(ValueError, match="holds a run with other values"):
        run_sweep(sweep_file(fixed={}), out)


@pytest.mark.slow
def test_a_run_that_fails_stops_nothing_else(sweep_file, drawn_set, tmp_path, tiny):
    fixed = tiny(epochs=1, language_order=0).changed()
    del fixed["data"]
    path = sweep_file(fixed=fixed, grid={"data": [str(tmp_path / "missing"), str(drawn_set)]})
    failed, fine = sorted(run_sweep(path, tmp_path / "out"), key=lambda outcome: outcome.name != "data=missing")
    assert "FAILED in " in failed.error and "02_training.ipynb: FileNotFoundError" in failed.error and not fine.error
    assert list(results(tmp_path / "out")) == [fine.name]


@pytest.mark.slow
def test_a_sweep_that_was_killed_ends_with_the_same_table(sweep_file, tmp_path):
    run_sweep(sweep_file(grid=SEEDS), tmp_path / "undisturbed")
    slow = sweep_file(pause=1.0, grid=SEEDS)
    command = [sys.executable, "-m", "hwrlib.batch.sweep", str(slow), "--out", str(tmp_path / "killed"), "--jobs", "2"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: list((tmp_path / "killed").glob("*/resume.pth")))
    with pytest.raises(Busy, match="another process"):
        run_sweep(slow, tmp_path / "killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/sweep.csv").exists()
    assert not any(outcome.error for outcome in run_sweep(slow, tmp_path / "killed"))
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_ends_with_the_same_table(sweep_file, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the cluster test needs Dask: pip install 'hwrlib[cluster]'")
    run_sweep(sweep_file(grid=SEEDS), tmp_path / "here")
    slow, out = sweep_file(pause=1.0, grid=SEEDS), tmp_path / "there"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        worker = next(iter(cluster.workers.values()))

        def kill() -> None:
            until(lambda: len(list(out.glob("*/resume.pth"))) >= 2)
            os.kill(worker.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        outcomes = run_sweep(slow, out, cluster=cluster.scheduler_address)
        killer.join()
    assert len(outcomes) == 2 and not any(outcome.error for outcome in outcomes)
    assert results(out) == results(tmp_path / "here")


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
