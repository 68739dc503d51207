"""Recognizer.read_to_csv: the table is whole after kills, valid for every reader, and written by one process at a time."""

import codecs
import csv
import io
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwrlib.common.files import Busy, locked
from hwrlib.reader import Reading
from hwrlib.sets.labels import as_written, spreadsheet_safe


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


@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize(
    "quoting, end", [(csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\n"), (csv.QUOTE_MINIMAL, "\r\n\r\n")]
)
def test_a_table_that_a_spreadsheet_saved_is_continued(recognizer, paths, tmp_path, bom, quoting, end):
    table, text = tmp_path / "texts.csv", io.StringIO()
    recognizer.read_to_csv(paths[:2], table)
    csv.writer(text, quoting=quoting, lineterminator=end).writerows(rows_of(table))
    table.write_bytes(bom + text.getvalue().encode())
    for _ in range(2):
        recognizer.read_to_csv(paths, table)
        assert pd.read_csv(table)["filename"].tolist() == [path.as_posix() for path in paths]


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda rows: rows.replace(b"b.png,", b'"b.png,'), "line 3: not a row of readings"),
        (lambda rows: rows.replace(b"b.png,", b'b.png,"'), "line 3: not a row of readings"),
        (lambda rows: rows.replace(b"b.png,", b'b.png,"').replace(b"d.png,", b'"d.png",'), "line 3: not a row of readings"),
        (lambda rows: rows.replace(b"b.png,", b""), "line 3: not a row of readings"),
        (lambda rows: rows.replace(b"b.png,", "é.png,".encode("cp1252")), "line 3: the byte 0xe9 is not UTF-8"),
        (lambda rows: rows.decode().encode("utf-16"), "not a table of readings"),
        (lambda rows: b"\0" * len(rows), "not a table of readings"),
        (lambda rows: b"x" * 200_000 + rows, "not a table of readings"),
    ],
    ids="quote-before quote-within quote-closed-later cell-missing cp1252 utf-16 zeros long-line".split(),
)
def test_a_table_that_cannot_be_continued_is_named_and_left_as_it_is(recognizer, paths, tmp_path, change, said):
    table = tmp_path / "texts.csv"
    rows = b"filename,text,confidence\r\n" + b"".join(b"%c.png,ANNE,0.9876\r\n" % name for name in b"abcd")
    table.write_bytes(changed := change(rows))
    with pytest.raises(ValueError, match=f"texts.csv.*{said}"):
        recognizer.read_to_csv(paths, table)
    assert table.read_bytes() == changed != rows


def test_zeros_that_a_power_cut_left_at_the_end_are_dropped(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    recognizer.read_to_csv(paths, table)
    whole = table.read_bytes()
    table.write_bytes(whole[:-60] + b"\0" * 4096)
    recognizer.read_to_csv(paths, table)
    assert table.read_bytes() == whole


def test_a_path_that_has_no_name_in_the_table_is_reported_before_any_work(recognizer, paths, tmp_path):
    with pytest.raises(ValueError, match="elsewhere.png"):
        recognizer.read_to_csv([*paths, "elsewhere.png"], tmp_path / "texts.csv", root=paths[0].parent)
    assert not list(tmp_path.iterdir())


def test_an_image_called_like_the_column_is_read(recognizer, paths, tmp_path, monkeypatch):
    (tmp_path / "filename").write_bytes(paths[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    recognizer.read_to_csv(paths[:1], "texts.csv")
    recognizer.read_to_csv(["filename"], "texts.csv")
    assert rows_of(tmp_path / "texts.csv")[2][0] == "filename"


@pytest.mark.skipif(sys.platform == "win32", reason="names without line breaks only")
def test_a_row_cut_short_inside_a_name_with_a_line_break_is_read_again(recognizer, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd, table = Path('=(a\nb"é\r\n,.png'), tmp_path / "texts.csv"
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
        assert "br\\udcfcck.png" in str(error)
        assert str(error).encode()  # it can be printed, and stored in a notebook
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


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1|2", "-2+3!A1", "\t=(1)", "=\n(1)", "\n=(1)", "'=(1)", "''=(1)"]
)
def test_formulas_come_back_as_they_were(text):
    assert spreadsheet_safe(text) == "'" + text and as_written("'" + text) == text


def test_one_path_as_text_is_a_file_a_folder_or_a_pattern(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    recognizer.read_to_csv(str(paths[0]), table)
    recognizer.read_to_csv(paths[0].parent, table)
    assert len(rows_of(table)) == 1 + len(list(paths[0].parent.iterdir()))


def test_a_table_written_before_formulas_were_escaped_is_continued(recognizer, paths, tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("filename,text,confidence\n@SUM(1).png,ANNE,0.9\n'=(1).png,ANNE,0.9\n")
    before = table.read_bytes()
    assert recognizer.read_to_csv(["@SUM(1).png", "=(1).png"], table) == [] and table.read_bytes() == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_not_numbers_are_not_a_reading(recognizer, paths, tmp_path, monkeypatch, value):
    infer = recognizer.model.infer
    monkeypatch.setattr(recognizer.model, "infer", lambda *batch: np.full_like(infer(*batch), value))
    with pytest.raises(ValueError, match="its weights are damaged"):
        recognizer.read_to_csv(paths, tmp_path / "texts.csv")
    assert len(rows_of(tmp_path / "texts.csv")) == 1


def test_a_class_of_probability_zero_is_not_a_fault(recognizer, paths, monkeypatch):
    infer = recognizer.model.infer
    expected = recognizer.read(paths[0], language=None).text
    monkeypatch.setattr(recognizer.model, "infer", lambda *batch: np.where(infer(*batch) < -9, -np.inf, infer(*batch)))
    assert recognizer.read(paths[0], language=None).text == expected != ""
