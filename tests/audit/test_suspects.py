"""hwrlib.audit.suspects: a table that keeps its decisions."""

import codecs
import errno

import numpy as np
import pandas as pd
import pytest

from hwrlib.audit import save_suspects
from hwrlib.common.files import WriteError
from hwrlib.sets.corrections import read_decisions
from tests.audit.examples import table_of


def test_writing_a_table_again_keeps_its_decisions(tmp_path):
    path = tmp_path / "suspects.csv"
    save_suspects(
        table_of(
            ("train", "a", "A", "B", 9.0, "accept"),
            ("train", "b", "A", "C", 8.0, ""),
            ("train", "c", "A", "NA", 7.0, "refuse"),
        ),
        path,
    )
    again = save_suspects(table_of(("train", "b", "A", "D", 9.5, ""), ("train", "a", "A", "X", 3.0, "")), path)
    decided = read_decisions(path).set_index("FILENAME")
    assert decided["READING"].to_dict() == {"b": "D", "a": "B", "c": "NA"}
    assert decided["DECISION"].to_dict() == {"b": "", "a": "accept", "c": "refuse"}
    assert again["SUSPICION"].tolist() == [9.5, 3.0, 7.0]


def test_no_cell_of_the_table_is_a_formula_and_all_come_back(tmp_path):
    path = tmp_path / "suspects.csv"
    row = ("train", "=cmd|' /C calc'!A0.png", "@SUM(1)", "'+A(2)", 9.0, "accept")
    for _ in range(2):  # written again, a cell gets no second apostrophe
        save_suspects(table_of(row), path)
        assert ",'=cmd" in path.read_text("utf-8-sig") and ",'@SUM(" in path.read_text("utf-8-sig")
        assert read_decisions(path).loc[0, ["FILENAME", "IDENTITY", "READING"]].tolist() == list(row[1:4])


def test_a_decision_on_a_label_that_has_changed_is_forgotten(tmp_path):
    path = tmp_path / "suspects.csv"
    save_suspects(table_of(("train", "a", "A", "B", 9.0, "accept"), ("validation", "a", "A", "B", 8.0, "")), path)
    save_suspects(table_of(("train", "a", "C", "B", 9.0, "")), path)
    rows = read_decisions(path)[["SPLIT", "IDENTITY", "DECISION"]].to_numpy().tolist()
    assert rows == [["train", "C", ""], ["validation", "A", ""]]  # rows of the other split stay


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path, row = tmp_path / "suspects.csv", ("train", "a", "A", "B", 9.0, "accept")
    save_suspects(table_of(row), path)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", no_space)
    with pytest.raises(WriteError, match="suspects.csv: could not be written.*free space"):
        save_suspects(table_of(("train", "b", "A", "C", 8.0, "")), path)
    assert read_decisions(path)["FILENAME"].tolist() == ["a"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("separator, encoding", [(";", "utf-8-sig"), (",", "cp1252"), ("\t", "utf-16")])
def test_a_table_edited_in_a_spreadsheet_can_be_read(tmp_path, separator, encoding):
    path = tmp_path / "suspects.csv"
    save_suspects(table_of(("train", "a", "É, À", "Ç;D", np.inf, "")), path)
    assert path.read_bytes().startswith(codecs.BOM_UTF8 + b"SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.assign(DECISION=" Accept").to_csv(path, sep=separator, encoding=encoding, index=False)
    (row,) = read_decisions(path).to_dict("records")
    assert (row["IDENTITY"], row["READING"], row["DECISION"]) == ("É, À", "Ç;D", "accept")
