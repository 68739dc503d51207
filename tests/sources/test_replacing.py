"""hwrlib.sources: all of a set on the disk, or nothing."""

import subprocess
import sys

import pytest

from hwrlib import ROOT
from hwrlib.sources import (
    AlreadyPrepared,
    layout,
    prepare_kaggle,
)
from tests.sources.examples import everything_under, kaggle_files, listed, make_folder


def test_out_is_replaced_only_when_asked_and_only_a_set(tmp_path):
    source, out = make_folder(tmp_path / "k", kaggle_files()), tmp_path / "out"
    out.mkdir()
    prepare_kaggle(source, out)  # an empty folder may be filled
    (out / "old.txt").touch()
    with pytest.raises(AlreadyPrepared, match="already prepared from the same source"):
        prepare_kaggle(source, out)
    with pytest.raises(FileExistsError, match="another source or with other options .*/k.; .*--overwrite"):
        prepare_kaggle(make_folder(tmp_path / "k2", kaggle_files()), out)
    prepare_kaggle(source, out, overwrite=True)
    assert not (out / "old.txt").exists() and (out / "train.csv").exists()
    make_folder(tmp_path / "home", {"thesis.txt": b"x"})
    with pytest.raises(FileExistsError, match="not a set prepared by hwrlib"):
        prepare_kaggle(source, tmp_path / "home", overwrite=True)
    with pytest.raises(ValueError, match="contains the source"):
        prepare_kaggle(source, tmp_path, overwrite=True)
    assert listed(tmp_path) == ["home", "k", "k2", "out"]


@pytest.mark.parametrize("report", ["", "[]", '{"made_from": 1}', '{"made_from": {}}', '{"made_from": {"sources": 3}}'])
def test_a_report_of_another_program_protects_its_folder(tmp_path, report):
    make_folder(tmp_path / "out", {"report.json": report.encode()})
    with pytest.raises(FileExistsError, match="not a set prepared by hwrlib"):
        prepare_kaggle(make_folder(tmp_path / "k", kaggle_files()), tmp_path / "out", overwrite=True)
    assert everything_under(tmp_path / "out") == ["report.json"]


def test_failure_leaves_the_old_set_and_no_trace(tmp_path, monkeypatch):
    source, out = make_folder(tmp_path / "k", kaggle_files()), tmp_path / "out"
    prepare_kaggle(source, out)
    before = everything_under(out)
    monkeypatch.setattr(layout, "_is_image", lambda data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare_kaggle(source, out, overwrite=True)
    assert everything_under(out) == before and listed(tmp_path) == ["k", "out"]


def test_kill_leaves_no_set_and_the_next_run_cleans_up(tmp_path):
    source = make_folder(tmp_path / "k", kaggle_files())
    code = (
        "import os, sys; from hwrlib.sources import layout, prepare_kaggle; calls = []\n"
        "layout._is_image = lambda data: calls.append(1) or len(calls) < 6 or os._exit(9)\n"
        "prepare_kaggle(sys.argv[1], sys.argv[2])"
    )
    killed = subprocess.run([sys.executable, "-c", code, source, tmp_path / "out"], cwd=ROOT)
    assert killed.returncode == 9 and len(listed(tmp_path)) == 2 and len(list(tmp_path.glob(".out.*.partial"))) == 1
    prepare_kaggle(source, tmp_path / "out")
    assert listed(tmp_path) == ["k", "out"]


def test_a_kill_while_a_set_is_replaced_loses_nothing(tmp_path):
    source, out = make_folder(tmp_path / "k", kaggle_files()), tmp_path / "out"
    prepare_kaggle(source, out)
    before = everything_under(out)
    code = (
        "import os, pathlib, sys; from hwrlib.sources import prepare_kaggle; rename = pathlib.Path.rename\n"
        "pathlib.Path.rename = lambda a, b: os._exit(9) if a.suffix == '.partial' else rename(a, b)\n"
        "prepare_kaggle(sys.argv[1], sys.argv[2], overwrite=True)"
    )
    killed = subprocess.run([sys.executable, "-c", code, source, out], cwd=ROOT)
    assert killed.returncode == 9 and not out.exists()
    with pytest.raises(AlreadyPrepared):
        prepare_kaggle(source, out)
    assert everything_under(out) == before and listed(tmp_path) == ["k", "out"]
