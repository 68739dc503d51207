"""Every job can be killed at any moment and restarted; its result is the same as without the kill."""

import os
import shutil
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from kills import (
    bulk_job,
    cache_job,
    duration,
    killed_and_restarted,
    pages_job,
    prepare_job,
    read_job,
    replace_job,
    sweep_job,
    train_job,
)
from test_resume import assert_same_end

from hwrlib import Recognizer
from hwrlib.images import Normalisation
from hwrlib.models.checkpoint import load_model
from hwrlib.sets.dataset import LineDataset
from hwrlib.synthetic.pages import render_page

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs processes that are forked")

KILLS = int(os.environ.get("KILLS", 8))  # of each job; `make soak` uses more
BATCH_KILLS = max(KILLS, 25)  # of the jobs that run longest: bulk reading and sweeps


def contents(folder) -> dict[str, bytes]:
    """All files under a folder, hidden ones too, except the report, which names the source and its time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }


def test_preparing(drawn_set, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(drawn_set, source, ignore=shutil.ignore_patterns(".cache"))
    seconds = duration(prepare_job, (source, tmp_path / "undisturbed"))
    out = tmp_path / "out"

    def whole_or_absent():
        assert not out.exists() or contents(out) == contents(tmp_path / "undisturbed")

    done = killed_and_restarted(
        prepare_job,
        (source, out),
        kills=KILLS,
        seconds=seconds,
        seed=1,
        check=whole_or_absent,
        undo=lambda: shutil.rmtree(out),
    )
    print(f"\npreparing: {done} kills survived")
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["out", "source", "undisturbed"]


def test_replacing(drawn_set, tmp_path):
    """At every moment either the old or the new set is whole, under its name or where the next start finds it."""
    source, out, old = tmp_path / "source", tmp_path / "out", tmp_path / ".out.old"
    shutil.copytree(drawn_set, source, ignore=shutil.ignore_patterns(".cache"))
    prepare_job(source, out)
    expected = contents(out)

    def whole_somewhere():
        assert contents(out) == expected or contents(old) == expected

    done = killed_and_restarted(
        replace_job,
        (source, out),
        kills=KILLS,
        seconds=duration(replace_job, (source, out)),
        seed=5,
        check=whole_somewhere,
        undo=lambda: None,
    )
    print(f"\nreplacing: {done} kills survived")
    assert contents(out) == expected
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["out", "source"]


def test_caching(drawn_set, tmp_path):
    folder, normalisation = tmp_path / "set", Normalisation(height=64, max_width=512)
    shutil.copytree(drawn_set, folder, ignore=shutil.ignore_patterns(".cache"))
    seconds = duration(cache_job, (folder, normalisation))
    expected = contents(folder / ".cache")

    def undo():
        shutil.rmtree(folder / ".cache")

    undo()
    done = killed_and_restarted(cache_job, (folder, normalisation), kills=KILLS, seconds=seconds, seed=2, undo=undo)
    print(f"\ncaching: {done} kills survived")
    assert contents(folder / ".cache") == expected  # and no half-built file is left
    lines = LineDataset(folder, "train", normalisation)
    assert all(np.array_equal(lines[i].ink, LineDataset(folder, "train", normalisation)[i].ink) for i in (0, 95))


def test_training(tiny, tmp_path):
    config = tiny(epochs=2, dropout=0.2, augment=1.0, checkpoint_minutes=1e-9, train_limit=48)
    seconds = duration(train_job, (config, tmp_path / "undisturbed"))
    run = tmp_path / "run"

    def best_model_loads():
        if (run / "best_model.pth").exists():
            load_model(run / "best_model.pth")

    done = killed_and_restarted(
        train_job,
        (config, run),
        kills=KILLS,
        seconds=seconds,
        seed=3,
        check=best_model_loads,
        undo=lambda: shutil.rmtree(run),
    )
    print(f"\ntraining: {done} kills survived")
    assert_same_end(tmp_path / "undisturbed", run, epochs=2)


def test_reading_a_folder(run, drawn_set, tmp_path, monkeypatch):
    arguments = (run.folder / "best_model.pth", drawn_set / "train")
    seconds = duration(read_job, (*arguments, tmp_path / "undisturbed.csv"))
    table = tmp_path / "table.csv"
    done = killed_and_restarted(read_job, (*arguments, table), kills=KILLS, seconds=seconds, seed=4, undo=table.unlink)
    print(f"\nreading: {done} kills survived")
    assert table.read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()


def test_reading_in_bulk(run, drawn_set, tmp_path):
    arguments = (run.folder / "best_model.pth", drawn_set / "train")
    seconds = duration(bulk_job, (*arguments, tmp_path / "undisturbed.csv"))
    table = tmp_path / "table.csv"
    done = killed_and_restarted(bulk_job, (*arguments, table), kills=BATCH_KILLS, seconds=seconds, seed=6, undo=table.unlink)
    print(f"\nbulk: {done} kills survived")
    assert table.read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()
    assert not table.with_name("table.csv.parts").exists()


def test_reading_pages(run, tmp_path):
    (tmp_path / "scans").mkdir()
    for number in range(4):
        page = render_page(number, columns=1, rows=2)
        cv2.imwrite(str(tmp_path / "scans" / page.name), page.image)
    arguments, out = (run.folder / "best_model.pth", tmp_path / "scans"), tmp_path / "out"
    seconds = duration(pages_job, (*arguments, tmp_path / "undisturbed"))
    done = killed_and_restarted(
        pages_job, (*arguments, out), kills=KILLS, seconds=seconds, seed=7, undo=lambda: shutil.rmtree(out)
    )
    print(f"\npages: {done} kills survived")
    documents = {path.name: path.read_bytes() for path in out.glob("*.xml")}
    assert documents == {path.name: path.read_bytes() for path in (tmp_path / "undisturbed").glob("*.xml")}
    assert len(documents) == 4


def test_sweeping(tiny, tmp_path):
    fixed = tiny(epochs=1, train_limit=24, language_order=0, checkpoint_minutes=1e-9).changed()
    fixed.pop("seed", None)
    path, out = tmp_path / "sweep.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump({"notebooks": ["02_training"], "fixed": fixed, "grid": {"seed": [1, 2, 3]}}))
    seconds = duration(sweep_job, (path, tmp_path / "undisturbed"))

    def undo():
        shutil.rmtree(out)

    done = killed_and_restarted(sweep_job, (path, out), kills=BATCH_KILLS, seconds=seconds, seed=8, undo=undo)
    print(f"\nsweep: {done} kills survived")
    calm, disturbed = (
        pd.read_csv(folder / "sweep.csv").drop(columns="seconds") for folder in (tmp_path / "undisturbed", out)
    )
    pd.testing.assert_frame_equal(calm, disturbed)


@pytest.mark.parametrize("left", range(0, 90, 7))
def test_a_table_truncated_anywhere_is_completed(recognizer, drawn_set, tmp_path, left):
    paths, table = sorted((drawn_set / "test").iterdir())[:4], tmp_path / "texts.csv"
    recognizer.read_to_csv(paths, table)
    whole = table.read_bytes()
    table.write_bytes(whole[:left])
    recognizer.read_to_csv(paths, table)
    assert table.read_bytes() == whole and whole.count(b"\r\n") == 5


def test_a_table_keeps_its_rows_and_lists_no_image_twice(recognizer, drawn_set, tmp_path):
    paths, table = sorted((drawn_set / "test").iterdir())[:4], tmp_path / "new" / "texts.csv"
    (tmp_path / paths[3].name).write_bytes(b"no image")
    broken = [tmp_path / paths[3].name]
    errors = recognizer.read_to_csv([*paths[:2], paths[0], *broken], table)
    assert [str(broken[0]) in str(error) for error in errors] == [True]
    first = table.read_bytes()
    assert recognizer.read_to_csv(paths, table) == []
    assert table.read_bytes().startswith(first) and table.read_bytes().count(b"\r\n") == 5


@pytest.mark.parametrize("content", [b"FILENAME,IDENTITY\r\na.png,ANNE\r\n", b"a diary", b"\x00\xff"])
def test_a_file_that_is_not_a_table_of_readings_is_rejected_and_kept(recognizer, tmp_path, content):
    (tmp_path / "diary.txt").write_bytes(content)
    with pytest.raises(ValueError, match="diary.txt: not a table of readings"):
        Recognizer.read_to_csv(recognizer, [], tmp_path / "diary.txt")
    assert (tmp_path / "diary.txt").read_bytes() == content
