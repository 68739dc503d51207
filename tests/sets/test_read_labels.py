"""hwrlib.sets.labels: separators, encodings, texts that look like missing ones."""

import unicodedata

import pytest

from hwrlib.metrics import is_special
from hwrlib.sets.labels import read_labels
from tests.sources.examples import HEADER


def test_read_labels_keeps_text_that_pandas_would_treat_as_missing(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + "1.jpg,NULL\n2.jpg,NA\n3.jpg,nan\n4.jpg,\n5.jpg\n6.jpg,007\n")
    assert read_labels(tmp_path / "a.csv")["IDENTITY"].tolist() == ["NULL", "NA", "nan", "", "", "007"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_read_labels_separators_encodings_line_ends(tmp_path, encoding, separator, newline):
    lines = [["image", "texte", "main"], ["é.png", ' "Élan, à 3 €; ""là""" '.strip(), "NA"], [], ["b.png", "  où ", ""]]
    (tmp_path / "t.csv").write_bytes(newline.join(separator.join(line) for line in lines).encode(encoding))
    table = read_labels(tmp_path / "t.csv", filename_column="image", text_column="texte")
    assert table.values.tolist() == [["é.png", 'Élan, à 3 €; "là"'], ["b.png", "où"]]
    assert list(table.columns) == ["FILENAME", "IDENTITY"]


def test_read_labels_latin1_and_nfc(tmp_path):
    (tmp_path / "t.csv").write_bytes(HEADER.encode() + b"a.png,\x80\xe9\n")
    assert read_labels(tmp_path / "t.csv")["IDENTITY"][0] == "€é"
    (tmp_path / "t.tsv").write_text("FILENAME\tIDENTITY\n" + unicodedata.normalize("NFD", "é.png\tété, là"), "utf-8")
    assert read_labels(tmp_path / "t.tsv").values.tolist() == [["é.png", "été, là"]]


@pytest.mark.parametrize(
    "content, message",
    [
        ("file,text\na,b\n", r"t\.csv: no column 'FILENAME'; the columns there are 'file', 'text'"),
        ("", "empty"),
        (HEADER + "a.png,one, two\n", "line 2: 3 cells under 2 columns; quote"),
        (HEADER + 'a.png,"never closed\nb.png,b\n', "line 3"),
    ],
)
def test_read_labels_errors_name_file_and_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "t.csv")


def test_special_labels():
    assert all(map(is_special, ["", "  ", "EMPTY", "empty", " Unreadable ", "NONE", "Blank", "illisible"]))
    assert not any(map(is_special, ["nan", "NULL", "NA", "NOM", "EMPTYS", "-"]))
