"""hwrlib.batch.read: every kind of source, in several processes, killed and continued, becomes one table."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import pandas as pd
import pytest

from hwrlib.batch import read as module
from hwrlib.batch.read import Images, read_many
from hwrlib.common.files import Busy, find_images
from hwrlib.models import table
from hwrlib.models.recognizer import Recognizer
from hwrlib.models.table import READING_COLUMNS


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """So that rows are written often."""
    monkeypatch.setattr(table, "CHUNK", 4)
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def scans(drawn_set, tmp_path):
    """Two folders with the same file names, and the folder that holds them."""
    for folder in ("a", "b/c"):
        (tmp_path / "scans" / folder).mkdir(parents=True)
    paths = find_images(drawn_set / "test")
    for number, path in enumerate(paths):
        place = "a" if number % 2 else "b/c"
        (tmp_path / f"scans/{place}/{number // 2:04}.png").write_bytes(path.read_bytes())
    return tmp_path / "scans"


@pytest.fixture(scope="module")
def model(run):
    return str(run.folder)


def texts(path) -> dict[str, str]:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)
    assert tuple(rows) == READING_COLUMNS and rows["filename"].is_unique
    return dict(zip(rows["filename"], rows["text"]))


@pytest.fixture
def expected(scans, model):
    """What is read one by one."""
    recognizer = Recognizer.from_checkpoint(f"{model}/best_model.pth")
    return {path.relative_to(scans).as_posix(): recognizer.read(path).text for path in find_images(scans, recursive=True)}


def test_a_folder_becomes_a_table_in_the_order_of_its_files(scans, model, expected, tmp_path):
    report = read_many(scans, tmp_path / "t.csv", model=model)
    assert texts(tmp_path / "t.csv") == expected and list(texts(tmp_path / "t.csv")) == sorted(expected)
    assert (report.read, report.failed) == (12, []) and {"a/0000.png", "b/c/0000.png"} <= set(expected)
    row = pd.read_csv(tmp_path / "t.csv").iloc[0]
    assert json.loads(row["words"])[0][0] == row["text"] and 0 < row["confidence"] <= 1
    assert {path.name for path in tmp_path.iterdir()} <= {"t.csv", "scans", ".t.csv.lock"}


def test_every_kind_of_source_reads_the_same(scans, model, expected, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive, tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        for path in scans.rglob("*.png"):
            archive.write(path, path.relative_to(scans))
            tar.add(path, f"./{path.relative_to(scans).as_posix()}")
        archive.writestr("notes.txt", "no image")
    (scans / "list.csv").write_text("id,filename\n" + "".join(f"1,{name}\n" for name in expected))
    for number, source in enumerate((tmp_path / "s.zip", tmp_path / "s.tar.gz", scans / "list.csv")):
        read_many(source, tmp_path / f"{number}.csv", model=model)
        assert texts(tmp_path / f"{number}.csv") == expected, source
    read_many(f"{scans}/**/*.png", tmp_path / "pattern.csv", model=model)
    assert list(texts(tmp_path / "pattern.csv").values()) == [expected[name] for name in sorted(expected)]


def test_a_parquet_table_holds_the_same(scans, model, expected, tmp_path):
    pytest.importorskip("pyarrow")
    read_many(scans, tmp_path / "t.parquet", model=model)
    assert texts(tmp_path / "t.parquet") == expected


def test_what_cannot_be_read_is_listed_and_costs_its_own_row(scans, model, expected, tmp_path):
    (scans / "a/broken.png").write_bytes(b"no image")
    (scans / "a/gone.png").symlink_to(tmp_path / "nowhere.png")
    report = read_many(scans, tmp_path / "t.csv", model=model)
    assert texts(tmp_path / "t.csv") == expected and [name for name, _ in report.failed] == ["a/broken.png", "a/gone.png"]
    errors = pd.read_csv(tmp_path / "t.csv.errors.csv")
    assert "not a readable image" in errors["error"][0] and "no such file" in errors["error"][1]
    (scans / "a/broken.png").unlink(), (scans / "a/gone.png").unlink()
    read_many(scans, tmp_path / "t.csv", model=model)
    assert not (tmp_path / "t.csv.errors.csv").exists()


def test_a_damaged_member_of_an_archive_costs_its_own_row(scans, model, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for path in scans.rglob("*.png"):
            archive.write(path, path.relative_to(scans))
    data = bytearray((tmp_path / "s.zip").read_bytes())
    data[90:130] = bytes(40)
    (tmp_path / "s.zip").write_bytes(data)
    report = read_many(tmp_path / "s.zip", tmp_path / "t.csv", model=model)
    assert (report.read, len(report.failed)) == (11, 1)


@pytest.mark.slow
def test_several_processes_and_one_read_the_same(scans, model, expected, tmp_path):
    read_many(scans, tmp_path / "t.csv", model=model, jobs=2)
    assert texts(tmp_path / "t.csv") == expected


@pytest.mark.slow
def test_a_killed_job_continues(scans, model, expected, tmp_path):
    for number in range(40):  # enough work to be killed in
        (scans / f"more{number:02}.png").write_bytes((scans / "a/0000.png").read_bytes())
    expected |= {f"more{number:02}.png": expected["a/0000.png"] for number in range(40)}
    slow = "import time; from hwrlib.batch import read; from hwrlib.models import table; table.CHUNK = 2\n"
    slow += "fast = read.Recognizer.try_read\n"
    slow += "read.Recognizer.try_read = lambda *given, **options: (time.sleep(0.2), fast(*given, **options))[1]\n"
    command = [sys.executable, "-c", f"{slow}read.read_many({str(scans)!r}, 't.csv', model={model!r})"]
    for kill in range(3):
        process = subprocess.Popen(command, cwd=tmp_path)
        before, end = written(tmp_path), time.monotonic() + 60
        while written(tmp_path) <= before and time.monotonic() < end:
            time.sleep(0.02)
        if not kill:
            with pytest.raises(Busy):
                read_many(scans, tmp_path / "t.csv", model=model)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with open(next((tmp_path / "t.csv.parts").glob("*.csv")), "ab") as part:
        part.write(b'more00.png,"\xc3')  # as a kill may leave it
    kept = len(module._places(tmp_path / "t.csv.parts"))
    assert 6 <= kept < len(expected) and not (tmp_path / "t.csv").exists()
    assert read_many(scans, tmp_path / "t.csv", model=model).read == len(expected)
    assert texts(tmp_path / "t.csv") == expected and not (tmp_path / "t.csv.parts").exists()


def written(folder) -> int:
    return sum(part.stat().st_size for part in folder.glob("t.csv.parts/*.csv"))


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("scans", "t.xlsx", "must end in .csv or .parquet"),
        ("nothing", "t.csv", "nothing: no image there"),
        ("bad.zip", "t.csv", "bad.zip: not a zip archive"),
        ("bad.tar", "t.csv", "bad.tar: not a tar archive"),
        ("bad.csv", "t.csv", "no column filename"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(scans, model, tmp_path, monkeypatch, source, out, message):
    monkeypatch.chdir(tmp_path)
    for name in ("bad.zip", "bad.tar"):
        (tmp_path / name).write_bytes(b"no archive")
    (tmp_path / "bad.csv").write_text("image,text\na.png,A\n")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_many(source, out, model=model)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        read_many(scans, "t.csv", model="nowhere")
    assert not list(tmp_path.glob("t.*"))


def test_names_that_are_not_utf_8_are_read(scans, model, tmp_path):
    data = (scans / "a/0000.png").read_bytes()
    with open(os.fsencode(scans) + b"/caf\xe9.png", "wb") as file:
        file.write(data)
    assert "caf\\udce9.png" in Images(scans).names
    assert read_many(scans, tmp_path / "t.csv", model=model).failed == []
