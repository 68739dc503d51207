"""Recognizer.read_to_csv: the table is whole after kills, valid for every reader, and written by one process at a time."""

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwrlib.files import Busy, locked
from hwrlib.labels import as_written, spreadsheet_safe
from hwrlib.recognizer import Reading


@pytest.fixture
def paths(drawn_set) -> list[Path]:
    return sorted((drawn_set / "test").iterdir())[:4]


def rows_of(table: Path) -> list[list[str]]:
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_second_reader_of_one_table_is_stopped_at_once(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    recognizer.read_to_csv(paths[:2], table)
    with locked(table):
        before = table.read_bytes()
        pid = os.fork() if hasattr(os, "fork") else None
        if pid == 0:  # another process
            try:
                recognizer.read_to_csv(paths, table)
            except Busy:
                os._exit(7)
            os._exit(0)
        if pid is not None:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert table.read_bytes() == before
    recognizer.read_to_csv(paths, table)
    assert len(rows_of(table)) == 5


def test_a_table_that_an_editor_saved_with_lf_is_continued(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    recognizer.read_to_csv(paths[:2], table)
    table.write_bytes(table.read_bytes().replace(b"\r\n", b"\n"))
    assert recognizer.read_to_csv(paths, table) == []
    assert [row[0] for row in rows_of(table)[1:]] == [path.as_posix() for path in paths]


@pytest.mark.skipif(sys.platform == "win32", reason="names without line breaks only")
def test_a_row_cut_short_inside_a_name_with_a_line_break_is_read_again(recognizer, paths, tmp_path):
    odd, table = tmp_path / "a\nb.png", tmp_path / "texts.csv"
    odd.write_bytes(paths[0].read_bytes())
    recognizer.read_to_csv([odd, paths[1]], table)
    whole = table.read_bytes()
    for length in range(len(whole)):
        table.write_bytes(whole[:length])
        recognizer.read_to_csv([odd, paths[1]], table)
        assert table.read_bytes() == whole


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_a_name_that_is_not_utf_8_costs_nothing(recognizer, paths, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    odd.write_bytes(paths[0].read_bytes())
    broken = Path(os.fsdecode(os.fsencode(tmp_path) + b"/br\xfcck.png"))
    broken.write_bytes(b"no image")
    table = tmp_path / "texts.csv"
    for _ in range(2):  # the second time, the row is found
        (error,) = recognizer.read_to_csv([paths[1], odd, broken, paths[2]], table)
        assert "ck.png" in str(error)
    assert len(rows_of(table)) == 4 and "caf\\udce9.png" in table.read_text(encoding="utf-8")
    assert len(pd.read_csv(table)) == 3


def test_formulas_are_not_run_by_a_spreadsheet(recognizer, paths, tmp_path, monkeypatch):
    odd, table = tmp_path / "@SUM(1).png", tmp_path / "texts.csv"
    odd.write_bytes(paths[0].read_bytes())
    reading = Reading("=cmd|' /C calc'!A0", 1.0, ())
    monkeypatch.setattr(recognizer, "try_read", lambda images, **options: iter([reading] * len(images)))
    for _ in range(2):
        recognizer.read_to_csv(["@SUM(1).png"], table)
    assert rows_of(table)[1:] == [["'@SUM(1).png", "'=cmd|' /C calc'!A0", "1.0000"]]


@pytest.mark.parametrize("text", ["-5", "+33 1 42", "= 12", "L'ETE", "'quoted'", "", "@home", "=A1", "a=(1)"])
def test_harmless_texts_stay_as_they_are(text):
    assert spreadsheet_safe(text) == text == as_written(text)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1|2", "-2+3!A1", "\t=(1)", "=\n(1)"])
def test_formulas_come_back_as_they_were(text):
    assert spreadsheet_safe(text) == "'" + text and as_written("'" + text) == text


def test_one_path_as_text_is_a_file_a_folder_or_a_pattern(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    recognizer.read_to_csv(str(paths[0]), table)
    recognizer.read_to_csv(paths[0].parent, table)
    assert len(rows_of(table)) == 1 + len(list(paths[0].parent.iterdir()))


def test_probabilities_that_are_not_numbers_are_not_a_reading(recognizer, paths, monkeypatch):
    infer = recognizer.model.infer
    monkeypatch.setattr(recognizer.model, "infer", lambda *batch: infer(*batch) * np.nan)
    with pytest.raises(ValueError, match="its weights are damaged"):
        recognizer.read(paths)
