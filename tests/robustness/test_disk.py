"""A full disk, or one that may not be written to: a sentence that names the file, and nothing lost."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hwrlib import synthetic
from hwrlib.checkpoint import load_safely, save_atomically
from hwrlib.data import LineDataset
from hwrlib.files import WriteError, atomic_write
from hwrlib.onnx.export import to_onnx
from hwrlib.sources import prepare_layout
from hwrlib.train import fit

FULL = "could not be written (No space left on device); free space on that disk"


@pytest.fixture
def disk(tmp_path):
    """A disk of two MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, *, free: int = 0) -> None:
    """Leave this many bytes (at most a page more) free."""
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    os.truncate(folder / "filler", max((folder / "filler").stat().st_size - free, 0))


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(disk):
    save_atomically({"value": 1}, disk / "best_model.pth")
    fill(disk)
    with pytest.raises(WriteError) as error:
        save_atomically({"value": list(range(50_000))}, disk / "best_model.pth")
    assert str(error.value).startswith(f"{disk / 'best_model.pth'}: {FULL}") and "before is intact" in str(error.value)
    assert load_safely(disk / "best_model.pth")["value"] == 1
    assert sorted(os.listdir(disk)) == ["best_model.pth", "filler"]


def test_a_training_whose_disk_fills_up_can_be_resumed(disk, tiny, tmp_path):
    config = tiny(epochs=2, width=8, hidden=8)
    undisturbed = fit(config, tmp_path / "undisturbed")

    def fill_after_the_first(history):
        if len(history) == 1:
            fill(disk, free=8192)

    with pytest.raises(WriteError, match="free space"):
        fit(config, disk / "run", on_epoch=fill_after_the_first)
    assert load_safely(disk / "run" / "best_model.pth")["metrics"]["epoch"] == 1
    (disk / "filler").unlink()
    assert fit(config, disk / "run", resume=True).best_cer == undisturbed.best_cer


def test_preparing_leaves_nothing_half_done(disk, drawn_set):
    fill(disk, free=50_000)
    with pytest.raises(WriteError) as error:
        prepare_layout(drawn_set, disk / "set")
    assert f"{disk / 'set'}: {FULL}" in str(error.value)
    assert os.listdir(disk) == ["filler"]


def test_caching(disk, drawn_set):
    shutil.copytree(drawn_set, disk / "set", ignore=shutil.ignore_patterns(".cache"))
    fill(disk)
    with pytest.raises(WriteError, match="set/.cache.*free space"):
        LineDataset(disk / "set", "train")
    (disk / "filler").unlink()
    shutil.rmtree(disk / "set" / "test")
    assert len(LineDataset(disk / "set", "validation")) == 24


def test_rendering(disk):
    with pytest.raises(WriteError, match="synthetic: could not be written.*free space"):
        synthetic.generate(disk / "synthetic", train=2000, validation=10, test=10)
    assert os.listdir(disk) == []


def test_a_table_of_readings_keeps_its_rows(disk, recognizer, drawn_set):
    paths, table = sorted((drawn_set / "test").iterdir()), disk / "texts.csv"
    recognizer.read_to_csv(paths, table)
    before = table.read_bytes()
    fill(disk)
    more = [shutil.copy(path, disk.parent / f"{number}{'long' * 50}.png") for number, path in enumerate(paths * 4)]
    with pytest.raises(WriteError, match="texts.csv: could not be written.*rows before are kept"):
        recognizer.read_to_csv(more, table)
    assert table.read_bytes().startswith(before)
    (disk / "filler").unlink()
    recognizer.read_to_csv(more, table)
    assert table.read_bytes().startswith(before) and table.read_bytes().count(b"\r\n") == 1 + 5 * len(paths)


def test_an_export(disk, recognizer):
    fill(disk)
    with pytest.raises(WriteError, match="model.onnx: could not be written.*free space"):
        to_onnx(recognizer.model, recognizer.charset, recognizer.normalisation, disk / "model.onnx")
    assert os.listdir(disk) == ["filler"]


def test_a_folder_that_may_not_be_written_to(disk, tiny, drawn_set, recognizer):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for work in (
        lambda: fit(tiny(), disk / "run"),
        lambda: prepare_layout(drawn_set, disk / "set"),
        lambda: recognizer.read_to_csv([], disk / "texts.csv"),
        lambda: synthetic.generate(disk / "synthetic"),
    ):
        with pytest.raises(WriteError, match=f"{disk}.*make its folder writable, or choose another folder"):
            work()


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError):
        with atomic_write(tmp_path / "missing" / "file"):
            pass
