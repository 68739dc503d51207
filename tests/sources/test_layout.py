"""hwrlib.sources.layout: Kaggle's archive and the one layout, cleaned and counted."""

import json

import pytest

from hwrlib.sets.labels import SPLITS, read_labels
from hwrlib.sources import (
    ArchiveError,
    prepare_kaggle,
    prepare_layout,
)
from tests.sources.examples import HEADER, IMAGE, everything_under, kaggle_files, make_folder, make_zip


@pytest.mark.parametrize("base", ["", "handwriting-recognition/"])
@pytest.mark.parametrize("packed", [True, False])
def test_kaggle_is_cleaned_and_counted(tmp_path, base, packed):
    special = "".join(f"TRAIN_{i}.jpg,{text}\n" for i, text in enumerate(["", "EMPTY", "Unreadable", "none", "BLANK"]))
    more = "TRAIN_0.jpg,again\ngone.jpg,X\n../TRAIN_0.jpg,X\nC:\\a.jpg,X\nnote.txt,X\nbad.jpg,X\n"
    files = kaggle_files(12, base, train=special + 'TRAIN_1.jpg,ILLISIBLE\n"TRAIN_2.jpg","a\nb"\nx.jpg,É né\n' + more)
    folder = f"{base}train_v2/train/"
    files |= {
        folder + "x.jpg": IMAGE,
        folder + "alone.jpg": IMAGE,
        folder + "note.txt": b"x",
        folder + "bad.jpg": b"x",
        base + ".DS_Store": b"x",
        f"__MACOSX/{folder}._TRAIN_0.jpg": b"x",
    }
    source = make_zip(tmp_path / "k.zip", files) if packed else make_folder(tmp_path / "k", files)
    report = prepare_kaggle(source, tmp_path / "out")
    train = report.splits["train"]
    assert (train.read, train.kept, train.without_row) == (26, 13, 1)
    assert train.left_out == {
        "empty label": 1,
        "label EMPTY": 1,
        "label UNREADABLE": 1,
        "label NONE": 1,
        "label BLANK": 1,
        "label ILLISIBLE": 1,
        "control character in label": 1,
        "duplicate file name": 1,
        "image missing": 1,
        "unsafe file name": 2,
        "unreadable image": 2,
    }
    table = read_labels(tmp_path / "out" / "train.csv")
    assert table.values.tolist()[-1] == ["x.jpg", "É né"] and "nan" not in set(table["IDENTITY"])
    assert sorted(table["FILENAME"]) == everything_under(tmp_path / "out" / "train")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["splits"]["train"]["left_out"]["label NONE"] == 1
    assert "label UNREADABLE" in str(report) and report.refused == {}


def test_layout_from_zip(tmp_path):
    files = {f"{split}.csv": (HEADER + 'a.jpg,"Oui, NULL"\nb.jpg,nan\n').encode() for split in SPLITS}
    files |= {f"{split}/{name}.jpg": IMAGE for split in SPLITS for name in "ab"}
    prepare_layout(make_zip(tmp_path / "l.zip", files), tmp_path / "out")
    assert read_labels(tmp_path / "out" / "test.csv")["IDENTITY"].tolist() == ["Oui, NULL", "nan"]


def test_layout_keeps_every_column(tmp_path):
    rows = ['"a, ""b""",ONE,é,a.jpg,0,again', '"x\r\ny\rz",TWO,NA,b.jpg,1,', ",THREE,,gone.jpg"]
    table = "\n".join(["NOTE,IDENTITY,WRITER,FILENAME,,WRITER", *rows])
    files = {f"{split}.csv": table.encode() for split in SPLITS}
    files |= {f"{split}/{name}.jpg": IMAGE for split in SPLITS for name in "ab"}
    prepare_layout(make_zip(tmp_path / "l.zip", files), tmp_path / "out")
    assert (tmp_path / "out" / "train.csv").read_text("utf-8").splitlines() == [
        "FILENAME,IDENTITY,NOTE,WRITER",
        'a.jpg,ONE,"a, ""b""",é',
        "b.jpg,TWO,x  y z,NA",
    ]
    prepare_layout(tmp_path / "out", tmp_path / "again")  # the columns survive a second time
    assert (tmp_path / "again" / "train.csv").read_bytes() == (tmp_path / "out" / "train.csv").read_bytes()


def test_missing_table_and_wrong_source(tmp_path):
    files = kaggle_files()
    del files["written_name_test_v2.csv"]
    with pytest.raises(ValueError, match=r"has no written_name_test_v2.csv; its CSV files are: written_name_train_v2.csv"):
        prepare_kaggle(make_zip(tmp_path / "k.zip", files), tmp_path / "out")
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    with pytest.raises(ArchiveError, match="not a zip"):
        prepare_kaggle(tmp_path / "x.zip", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such"):
        prepare_kaggle(tmp_path / "none.zip", tmp_path / "out")


def test_empty_split_or_half_lost_is_an_error_with_the_report(tmp_path):
    with pytest.raises(ValueError, match="(?s)train: only 4 of 9 rows are left.*image missing"):
        prepare_kaggle(make_folder(tmp_path / "a", kaggle_files(train="no.jpg,X\n" * 5)), tmp_path / "out")
    with pytest.raises(ValueError, match="train: no row of labels there"):
        prepare_kaggle(make_folder(tmp_path / "b", kaggle_files(0)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
