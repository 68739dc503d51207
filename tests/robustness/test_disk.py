"""A full disk, or a folder that is read-only: an error that names the file and the remedy, and nothing is lost.

A limit on the size of files stands for the full disk: whoever writes beyond it gets an error of the system, as on a
disk without space. Neither test needs to be root.
"""

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import pandas as pd
import pytest
import yaml

from hwrlib import synthetic
from hwrlib.batch import read_pages, sweep
from hwrlib.common.files import WriteError, atomic_write
from hwrlib.models.checkpoint import load_safely, save_atomically
from hwrlib.models.export import to_onnx
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset
from hwrlib.sources import prepare_layout
from hwrlib.synthetic.pages import render_page

resource = pytest.importorskip("resource")  # not on Windows

FULL = "could not be written (File too large); free space on that disk"
PRIVILEGES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root reads and writes where permissions forbid it
CAPABILITY_VERSION = 0x20080522


def listed(folder: Path) -> list[str]:
    """The names in a folder, without the locks that stay there."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """In this context no file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # which would end the process; ignored, the write fails
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path):
    path = tmp_path / "best_model.pth"
    save_atomically({"value": 1}, path)
    with full_disk(8192), pytest.raises(WriteError) as error:
        save_atomically({"value": list(range(50_000))}, path)
    assert str(error.value).startswith(f"{path}: {FULL}") and "that was there is intact" in str(error.value)
    assert load_safely(path)["value"] == 1
    assert os.listdir(tmp_path) == ["best_model.pth"]


def test_a_training_on_a_full_disk_can_be_resumed(tiny, tmp_path):
    config = tiny(epochs=2, width=8, hidden=8)
    undisturbed = fit(config, tmp_path / "undisturbed")
    with ExitStack() as disk, pytest.raises(WriteError, match=r"epoch_2_model_checkpoint.pth: could not .*free space"):
        fit(config, tmp_path / "run", on_epoch=lambda history: disk.enter_context(full_disk(8192)))
    assert load_safely(tmp_path / "run" / "best_model.pth")["metrics"]["epoch"] == 1
    first_epoch = tmp_path / "run" / "epoch_1_model_checkpoint.pth"
    saved_at = first_epoch.stat().st_mtime_ns
    resumed = fit(config, tmp_path / "run", resume=True)
    assert first_epoch.stat().st_mtime_ns == saved_at  # the first epoch was not trained again
    assert resumed.history["validation_loss"].tolist() == undisturbed.history["validation_loss"].tolist()
    assert not list((tmp_path / "run").glob("*.partial"))


def test_preparing(drawn_set, tmp_path):
    with full_disk(300), pytest.raises(WriteError) as error:
        prepare_layout(drawn_set, tmp_path / "set")
    assert str(error.value).startswith(f"{tmp_path / 'set'}: {FULL}")
    assert not listed(tmp_path)


def test_caching(drawn_set, tmp_path):
    shutil.copytree(drawn_set, tmp_path / "set", ignore=shutil.ignore_patterns(".cache"))
    with full_disk(8192), pytest.raises(WriteError, match=r"set/.cache/train-.*could not .*free space"):
        LineDataset(tmp_path / "set", "train")
    assert not listed(tmp_path / "set" / ".cache")  # each further try would leave another half
    assert len(LineDataset(tmp_path / "set", "train")) == 96
    assert [Path(name).suffix for name in listed(tmp_path / "set" / ".cache")] == [".ink", ".json"]


def test_rendering(tmp_path):
    """The limit lies in the middle of an image: a write that only part of the data fits into must fail, too."""
    with full_disk(500), pytest.raises(WriteError, match=r"synthetic: could not .*free space"):
        synthetic.generate(tmp_path / "synthetic", train=3, validation=1, test=1)
    assert not listed(tmp_path)


def test_a_table_of_readings_keeps_its_rows(recognizer, drawn_set, tmp_path):
    paths, table = sorted((drawn_set / "test").iterdir()), tmp_path / "texts.csv"
    recognizer.read_to_csv(paths[:4], table)
    before = table.read_bytes()
    with full_disk(len(before) + 100), pytest.raises(WriteError, match=r"texts.csv: could not .*rows before are kept"):
        recognizer.read_to_csv(paths[4:], table)
    assert table.read_bytes().startswith(before)
    recognizer.read_to_csv(paths[4:], table)
    assert table.read_bytes().startswith(before) and table.read_bytes().count(b"\r\n") == 1 + len(paths)


def test_an_export(recognizer, tmp_path):
    with full_disk(8192), pytest.raises(WriteError, match=r"model.onnx: could not .*free space"):
        to_onnx(recognizer.model, recognizer.charset, recognizer.normalisation, tmp_path / "model.onnx")
    assert not listed(tmp_path)


@contextmanager
def permissions_apply() -> Iterator[None]:
    """Root, too, is subject to a folder's permissions in this context (on Linux)."""
    if os.geteuid() or sys.platform != "linux":
        yield
        return
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)  # 0: of this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, of 2 x 32 bits
    libc = ctypes.CDLL(None)
    libc.capget(header, sets)
    effective = sets[0]
    sets[0] = effective & ~PRIVILEGES
    libc.capset(header, sets)
    try:
        yield
    finally:
        sets[0] = effective
        libc.capset(header, sets)


@pytest.fixture
def read_only(tmp_path) -> Iterator[Path]:
    """A folder that must not be written to."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    with permissions_apply():
        try:
            (folder / "probe").mkdir()
        except OSError:
            yield folder
        else:
            pytest.skip("this system lets root write anywhere")
    folder.chmod(0o755)


@pytest.mark.parametrize("job", ["training", "preparing", "caching", "reading", "rendering", "exporting", "checkpoint"])
def test_a_read_only_folder(job, read_only, tiny, drawn_set, recognizer):
    jobs = {
        "training": lambda: fit(tiny(), read_only / "run"),
        "preparing": lambda: prepare_layout(drawn_set, read_only / "set"),
        "caching": lambda: cache_in(read_only, drawn_set),
        "reading": lambda: recognizer.read_to_csv([], read_only / "texts.csv"),
        "rendering": lambda: synthetic.generate(read_only / "synthetic", train=1, validation=1, test=1),
        "exporting": lambda: to_onnx(recognizer.model, recognizer.charset, recognizer.normalisation, read_only / "m.onnx"),
        "checkpoint": lambda: save_atomically({"value": 1}, read_only / "best_model.pth"),
    }
    with pytest.raises(WriteError, match=f"{read_only}.*make its folder writable, or choose another folder"):
        jobs[job]()


def cache_in(folder: Path, data: Path) -> None:
    """Read a data set from a read-only folder for the first time."""
    folder.chmod(0o755)
    shutil.copytree(data, folder, ignore=shutil.ignore_patterns(".cache"), dirs_exist_ok=True)
    folder.chmod(0o555)
    LineDataset(folder, "train")


@pytest.fixture
def unreadable(drawn_set, tmp_path) -> Iterator[Path]:
    """A data set with a training image that must not be read."""
    shutil.copytree(drawn_set, tmp_path / "set", ignore=shutil.ignore_patterns(".cache"))
    image = tmp_path / "set" / "train" / "TRAIN_003.png"
    image.chmod(0)
    with permissions_apply():
        if os.access(image, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
            pytest.skip("this system lets root read anything")
        yield tmp_path / "set"
    image.chmod(0o644)


def test_an_image_that_must_not_be_read_costs_its_own_row_of_an_import(unreadable, tmp_path):
    report = prepare_layout(unreadable, tmp_path / "out")
    assert report.splits["train"].left_out == {"image cannot be read (Permission denied)": 1}
    assert report.splits["train"].kept == 95 and not (tmp_path / "out" / "train" / "TRAIN_003.png").exists()


def test_an_image_that_must_not_be_read_is_skipped_until_it_may(unreadable):
    (skipped,) = LineDataset(unreadable, "train").skipped
    assert skipped.name == "TRAIN_003.png" and "TRAIN_003.png: " in skipped.reason
    (unreadable / "train" / "TRAIN_003.png").chmod(0o644)
    assert LineDataset(unreadable, "train").skipped == []


def test_a_table_that_must_not_be_read_does_not_blame_the_run(unreadable, tiny, tmp_path):
    (unreadable / "train.csv").chmod(0)
    with pytest.raises(PermissionError, match="train.csv") as error:
        fit(tiny(data=str(unreadable)), tmp_path / "run")
    assert not isinstance(error.value, WriteError)


def test_other_errors_are_raised_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_write(tmp_path / "missing" / "file"):
            pass


def test_a_sweep_lists_its_runs_as_failed_and_continues(tiny, tmp_path, monkeypatch):
    """The limit is reached in the second run, whose network is larger."""

    def train_only(notebook, values, run_dir, recipe):
        fit(TrainConfig.from_yaml(recipe), run_dir, resume=True)

    monkeypatch.setattr(sweep, "execute", train_only)
    fixed = tiny(epochs=1, language_order=0, width=8).changed()
    fixed.pop("hidden")
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"notebooks": ["02_training"], "fixed": fixed, "grid": {"hidden": [8, 128]}}))
    with full_disk(600_000):
        outcomes = sweep.run_sweep(path, tmp_path / "out")
    assert [bool(outcome.error) for outcome in outcomes] == [False, True] and "free space" in outcomes[1].error
    assert len(pd.read_csv(tmp_path / "out" / "sweep.csv")) >= 1
    assert [outcome.error for outcome in sweep.run_sweep(path, tmp_path / "out")] == [""]
    assert len(pd.read_csv(tmp_path / "out" / "sweep.csv")) == 2


def test_pages_keep_what_was_read(recognizer, run, tmp_path):
    (tmp_path / "scans").mkdir()
    for number, rows in ((1, 1), (2, 12)):
        page = render_page(number, columns=1, rows=rows)
        cv2.imwrite(str(tmp_path / "scans" / page.name), page.image)
    options = dict(form="alto", model=str(run.folder / "best_model.pth"))
    with full_disk(3_000), pytest.raises(WriteError, match="free space"):
        read_pages(tmp_path / "scans", tmp_path / "out", **options)
    assert [name for name in listed(tmp_path / "out") if name.endswith("xml")] == ["register_1.alto.xml"]
    report = read_pages(tmp_path / "scans", tmp_path / "out", **options)
    assert (report.read, report.before) == (1, 1)
