"""hwrlib.models.locate: which checkpoint is meant by a file, a folder or a name."""

import os

import pytest

from hwrlib.models.locate import epoch_checkpoints, epoch_path, find_checkpoint, latest_run
from hwrlib.weights import SHIPPED


def test_the_best_is_found_or_else_the_last(tmp_path):
    with pytest.raises(FileNotFoundError, match="no best_model.pth and no epoch checkpoint"):
        find_checkpoint(tmp_path)
    for epoch in (2, 10, 9):
        epoch_path(tmp_path, epoch).touch()
    (tmp_path / "epoch_11_model_checkpoint.pth.partial").touch()
    assert [path.name.split("_")[1] for path in epoch_checkpoints(tmp_path)] == ["2", "9", "10"]
    assert find_checkpoint(tmp_path) == tmp_path / "epoch_10_model_checkpoint.pth"
    (tmp_path / "best_model.pth").touch()
    assert find_checkpoint(tmp_path) == tmp_path / "best_model.pth"


def test_the_latest_run_is_the_one_that_saved_a_best_model_last(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run with a best_model.pth"):
        latest_run(tmp_path)
    for name, time in (("a", 300), ("b", 900), ("c", 600)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best_model.pth").touch()
        os.utime(tmp_path / name / "best_model.pth", (time, time))
    (tmp_path / "d-without-a-model").mkdir()
    assert latest_run(tmp_path) == tmp_path / "b"


def test_a_file_a_folder_or_a_shipped_name_is_found(saved):
    assert find_checkpoint(saved) == saved and find_checkpoint(str(saved)) == saved
    assert {"names", "lines"} <= set(SHIPPED) and find_checkpoint("names") == SHIPPED["names"]
    with pytest.raises(FileNotFoundError, match="nowhere: no such checkpoint or folder.*names"):
        find_checkpoint("nowhere")
