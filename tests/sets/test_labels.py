"""hwrlib.sets.labels: encodings are decided once for a whole table, and what is wrong with one is said with its line."""

import pytest

from hwrlib.sets.labels import decode, is_misread, read_labels

HEADER = "FILENAME,IDENTITY\n"


def table(tmp_path, content: bytes):
    (tmp_path / "t.csv").write_bytes(content)
    return read_labels(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_accents_are_read_in_every_encoding(encoding, tmp_path):
    assert table(tmp_path, (HEADER + "a.png,Élodie œuvre\n").encode(encoding))["IDENTITY"].tolist() == ["Élodie œuvre"]


def test_one_wrong_byte_does_not_turn_the_accents_of_a_table_into_other_letters(tmp_path):
    content = (HEADER + "a.png,Élodie\nb.png,Zoé\n").encode() + b"c.png,Ren\xe9\n"
    with pytest.raises(
        ValueError, match=r"t\.csv, line 4: the byte 0xe9 is not UTF-8, though other accents of the file are"
    ):
        table(tmp_path, content)


@pytest.mark.parametrize("text", ["Crème brûlée", "œuvre", "À Sète", "5 €", "Ångström", "ß", "ANNE"])
def test_accents_that_an_earlier_tool_read_wrongly_are_found(text):
    assert not is_misread(text)
    assert text.isascii() or is_misread(text.encode().decode("cp1252"))


def test_bytes_of_no_encoding_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"t\.csv, line 2: the byte 0x81 is not UTF-8 and not cp1252"):
        table(tmp_path, HEADER.encode() + b"a.png,\x81\n")
    with pytest.raises(ValueError, match="is not UTF-16"):
        decode(b"\xff\xfea\x00\x00\xd8", name="t.csv")


@pytest.mark.parametrize(
    "content", [b"a\0.png,X\n", "a.png,É\n".encode("utf-16-le")], ids=["in a name", "UTF-16 without BOM"]
)
def test_nul_characters_are_an_error_that_names_the_line(content, tmp_path):
    with pytest.raises(ValueError, match=r"t\.csv, line \d: a NUL character"):
        table(tmp_path, HEADER.encode() + content)


@pytest.mark.parametrize("header", ["FILENAME,IDENTITY,IDENTITY", "FILENAME,FILENAME,IDENTITY"])
def test_two_columns_of_one_name_are_rejected_with_their_places(header, tmp_path):
    with pytest.raises(ValueError, match="the columns . and . are both called"):
        table(tmp_path, f"{header}\na.png,X,Y\n".encode())
