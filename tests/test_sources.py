"""hwrlib.sets.labels and hwrlib.sources: label rules, splits, hostile archives, columns, all or nothing on disk."""

import io
import json
import os
import stat
import struct
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwrlib.common import archives
from hwrlib.metrics import is_special
from hwrlib.sets.labels import SPLITS, read_labels, split_groups
from hwrlib.sources import (
    MB,
    AlreadyPrepared,
    ArchiveError,
    layout,
    open_source,
    prepare_folder,
    prepare_kaggle,
    prepare_layout,
)
from hwrlib.sources.__main__ import main


def image_bytes(kind="JPEG", grey=255):
    file = io.BytesIO()
    Image.new("L", (40, 16), grey).save(file, kind)
    return file.getvalue()


IMAGE = image_bytes()
HEADER = "FILENAME,IDENTITY\n"


def kaggle_files(rows=4, base="", **tables):
    """Name -> bytes in Kaggle's layout: `rows` good rows per split, then the rows given for a split in `tables`."""
    files = {}
    for split in SPLITS:
        names = [f"{split.upper()}_{i}.jpg" for i in range(rows)]
        table = HEADER + "".join(f"{name},NAME {i}\n" for i, name in enumerate(names)) + tables.get(split, "")
        files[f"{base}written_name_{split}_v2.csv"] = table.encode()
        files |= {f"{base}{split}_v2/{split}/{name}": IMAGE for name in names}
    return files


def make_zip(path, files, *more):
    """A zip of `files`, then of the (ZipInfo or name, bytes) pairs in `more`, with unchecked names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [*files.items(), *more]:
            archive.writestr(name, data)
    return path


def make_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def listed(folder):
    """The names in a folder, sorted, without the locks that stay there."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def everything_under(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# --- Labels ---


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


# --- Kaggle and the layout ---


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


# --- Hostile archives ---


@pytest.mark.parametrize(
    "name, reason",
    [
        ("../escape.jpg", "unsafe name"),
        ("train_v2/train/../../../escape.jpg", "unsafe name"),
        ("/escape.jpg", "unsafe name"),
        ("train_v2\\train\\escape.jpg", "unsafe name"),
        ("C:/escape.jpg", "unsafe name"),
        ("train_v2/train/escape.jpg", "link or device"),
        ("train_v2/train/./TRAIN_0.jpg", "duplicate name"),
        ("train_v2/train/TRAIN_0.jpg", "duplicate name"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_members_are_refused_and_counted(tmp_path, name, reason):
    info = zipfile.ZipInfo(name)
    info.external_attr = ((stat.S_IFLNK if reason.startswith("link") else stat.S_IFREG) | 0o644) << 16
    (tmp_path / "in").mkdir()
    source = make_zip(tmp_path / "in" / "k.zip", kaggle_files(train="escape.jpg,X\n"), (info, b"/etc/passwd"))
    report = prepare_kaggle(source, tmp_path / "in" / "out")
    assert report.refused == {reason: 1}
    assert report.splits["train"].left_out == {"image missing": 1}
    assert (tmp_path / "in" / "out" / "train" / "TRAIN_0.jpg").read_bytes() == IMAGE
    assert not [path for path in tmp_path.rglob("*escape*")]
    assert listed(tmp_path) == ["in"] and listed(tmp_path / "in") == ["k.zip", "out"]


def test_nul_and_encrypted_members_are_refused(tmp_path):
    source = make_zip(tmp_path / "k.zip", kaggle_files(), ("train_v2/train/aZ.jpg", IMAGE), ("secret.jpg", IMAGE))
    data = source.read_bytes().replace(b"train/aZ.jpg", b"train/a\0.jpg")
    place = data.index(b"PK\1\2", data.rindex(b"train/a\0.jpg"))  # the central record after it: secret.jpg
    source.write_bytes(data[: place + 8] + b"\1" + data[place + 9 :])
    assert prepare_kaggle(source, tmp_path / "out").refused == {"unsafe name": 1, "encrypted": 1}


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_would_bypass_the_limits_is_refused(tmp_path, compression):
    source = make_zip(tmp_path / "k.zip", kaggle_files())
    with zipfile.ZipFile(source, "a", compression) as archive:
        archive.writestr("train_v2/train/x.jpg", IMAGE)
    assert prepare_kaggle(source, tmp_path / "out").refused == {"unsupported compression": 1}


def bombed(path, name, data):
    """Kaggle's layout with `data` instead of one of its members."""
    return make_zip(path, {**kaggle_files(), name: data})


def test_bombs_are_refused(tmp_path, monkeypatch):
    zeros, noise = bytes(5 * MB), np.random.default_rng(0).bytes(5 * MB)
    member, table = "train_v2/train/TRAIN_1.jpg", "written_name_train_v2.csv"
    monkeypatch.setattr(layout, "IMAGE_LIMIT", 4 * MB)
    with pytest.raises(ArchiveError, match="TRAIN_1.jpg' is larger than the limit of 4 MB"):
        prepare_kaggle(bombed(tmp_path / "a.zip", member, noise), tmp_path / "out")
    with pytest.raises(ArchiveError, match=f"unpacks to 5.0 MB .largest: '{table}'., the limit is 2"):
        prepare_kaggle(bombed(tmp_path / "b.zip", table, zeros), tmp_path / "out")
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 4 * MB)
    with pytest.raises(ArchiveError, match="unpacks to 5.0 MB .largest: '.*TRAIN_1.jpg'., the limit is 4.0 MB"):
        prepare_kaggle(bombed(tmp_path / "c.zip", member, noise), tmp_path / "out")
    assert listed(tmp_path) == ["a.zip", "b.zip", "c.zip"]


def test_lying_size_is_refused(tmp_path, monkeypatch):
    """A member that declares 100 bytes and holds 5 MB is not read beyond those, and the archive is refused."""
    source = bombed(tmp_path / "k.zip", "train_v2/train/TRAIN_1.jpg", bytes(5 * MB))
    source.write_bytes(source.read_bytes().replace(struct.pack("<L", 5 * MB), struct.pack("<L", 100)))
    with pytest.raises(ArchiveError, match="TRAIN_1.jpg' is damaged"):
        prepare_kaggle(source, tmp_path / "out")
    assert listed(tmp_path) == ["k.zip"]


def test_read_stops_at_the_limit_whatever_was_declared(tmp_path):
    make_folder(tmp_path, {"big.jpg": bytes(3 * MB)})
    with pytest.raises(ArchiveError, match="big.jpg' is larger than the limit of 2 MB"):
        open_source(tmp_path).read("big.jpg", 2 * MB)


def test_links_of_a_folder_are_not_followed(tmp_path):
    folder = make_folder(tmp_path / "k", kaggle_files(train="link.jpg,X\nfar/x.jpg,Y\n"))
    make_folder(tmp_path / "far", {"x.jpg": IMAGE})
    (folder / "train_v2/train/link.jpg").symlink_to(tmp_path / "far" / "x.jpg")
    (folder / "train_v2/train/far").symlink_to(tmp_path / "far")
    report = prepare_kaggle(folder, tmp_path / "out")
    assert report.refused == {"link": 2} and report.splits["train"].left_out == {"image missing": 2}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_a_folder_is_never_opened(tmp_path):
    folder = make_folder(tmp_path / "k", kaggle_files(train="pipe.jpg,X\n"))
    os.mkfifo(folder / "train_v2/train/pipe.jpg")
    report = prepare_kaggle(folder, tmp_path / "out")
    assert report.refused == {"pipe or device": 1} and report.splits["train"].left_out == {"image missing": 1}


@pytest.mark.parametrize("names", [("q.jpg", "q.jpg/r.jpg"), ("q.jpg/r.jpg", "q.jpg"), ("x" * 300 + ".jpg",)])
def test_a_file_name_that_the_disk_does_not_take_costs_its_own_row(tmp_path, names):
    rows = "".join(f"{name},X\n" for name in names)
    source = make_zip(tmp_path / "k.zip", kaggle_files(train=rows), *((f"train_v2/train/{name}", IMAGE) for name in names))
    report = prepare_kaggle(source, tmp_path / "out")
    ((reason, count),) = report.splits["train"].left_out.items()
    assert reason.startswith("file name impossible here (") and count == 1 and report.splits["train"].kept == 3 + len(names)
    assert len(read_labels(tmp_path / "out/train.csv")) == 3 + len(names)


# --- A folder and a table ---


def own_set(folder, count=60, header="scan;texte;main\n"):
    """`count` images in subfolders and a semicolon table in latin-1 with CRLF: 12 writers of unequal size."""
    names = [f"page {i % 3}/l{i}.png" for i in range(count)]
    make_folder(folder / "images", {name: image_bytes("PNG", i) for i, name in enumerate(names)})
    lines = [f"{name};été {i};w{int(i**0.6)}\n" for i, name in enumerate(names)]
    (folder / "t.csv").write_bytes((header + "".join(lines)).replace("\n", "\r\n").encode("latin-1"))
    return dict(images=folder / "images", table=folder / "t.csv", filename_column="scan", text_column="texte")


def test_folder_is_split_by_fraction_and_reproducibly(tmp_path):
    own = own_set(tmp_path)
    reports = [prepare_folder(**own, out=tmp_path / name, seed=seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    assert [reports[0].splits[split].kept for split in ("table", *SPLITS)] == [60, 48, 6, 6]
    tables = [(tmp_path / name / "test.csv").read_bytes() for name in "abc"]
    assert tables[0] == tables[1] != tables[2]
    for split in SPLITS:  # every text is still with its own image
        for name, text in read_labels(tmp_path / "a" / f"{split}.csv").values:
            with Image.open(tmp_path / "a" / split / name) as image:
                assert f"été {image.getpixel((0, 0))}" == text


def test_folder_never_splits_a_group(tmp_path):
    prepare_folder(**own_set(tmp_path), out=tmp_path / "out", group_column="main", validation=0.2, test=0.2)
    writer = {f"été {i}": int(i**0.6) for i in range(60)}
    texts = [read_labels(tmp_path / "out" / f"{split}.csv")["IDENTITY"] for split in SPLITS]
    groups = [{writer[text] for text in split} for split in texts]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert sum(map(len, texts)) == 60 and all(abs(len(t) - n) <= 3 for t, n in zip(texts, (36, 12, 12)))


def test_folder_can_be_grouped_by_its_texts(tmp_path):
    images = make_folder(tmp_path / "images", {f"{i}.jpg": IMAGE for i in range(30)})
    (tmp_path / "t.csv").write_text(HEADER + "".join(f"{i}.jpg,text {i % 6}\n" for i in range(30)))
    prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", group_column="IDENTITY")
    texts = [set(read_labels(tmp_path / "out" / f"{split}.csv")["IDENTITY"]) for split in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 6


def test_groups_too_few_or_just_enough(tmp_path):
    own = own_set(tmp_path, 8)  # writers 0 to 3
    assert prepare_folder(**own, out=tmp_path / "a", group_column="main").splits["test"].kept > 0
    splits = split_groups(["a"] * 9 + ["b"] * 9 + ["c"] * 9, validation=0.1, test=0.1, seed=0)
    assert set(splits) == set(SPLITS)
    with pytest.raises(ValueError, match="2 groups cannot fill 3 splits"):
        split_groups(["a", "b", "a", "b"], validation=0.1, test=0.1, seed=0)
    with pytest.raises(ValueError, match="sum to less than 1"):
        split_groups([1, 2, 3], validation=0.5, test=0.5, seed=0)


def test_folder_names_in_subfolders_alike_and_escaping(tmp_path):
    names = ["a.jpg", "A.jpg", "s/c.jpg", "s/b.PNG", "d.jpg"]
    images = make_folder(tmp_path / "images", {name: IMAGE for name in names})
    make_folder(tmp_path, {"secret.jpg": IMAGE})
    rows = ["a.jpg,1", "A.jpg,2", "s/c.jpg,3", "./s/b.PNG,4", "d.jpg,5", "../secret.jpg,6", f"{tmp_path}/secret.jpg,7"]
    (tmp_path / "t.csv").write_text(HEADER + "\n".join(rows))
    report = prepare_folder(images, tmp_path / "t.csv", tmp_path / "out")
    assert report.splits["table"].left_out == {"unsafe file name": 2, "duplicate file name": 1}
    written = {name: text for split in SPLITS for name, text in read_labels(tmp_path / f"out/{split}.csv").values}
    assert written == {"a.jpg": "1", "s/c.jpg": "3", "s/b.PNG": "4", "d.jpg": "5"}
    files = [path for split in SPLITS for path in (tmp_path / "out" / split).rglob("*") if path.is_file()]
    assert len(files) == 4


def test_folder_keeps_every_column(tmp_path):
    """Also those whose names the layout and its code use, such as another IDENTITY, FILE and GROUP."""
    images = make_folder(tmp_path / "images", {f"{i}.png": image_bytes("PNG", i) for i in range(30)})
    lines = [f"old {i};{i}.png;file {i};{i % 7};text {i};{i * i}\n" for i in range(30)]
    (tmp_path / "t.csv").write_text("IDENTITY;scan;FILE;GROUP;text;OTHER_IDENTITY\n" + "".join(lines))
    columns = {"filename_column": "scan", "text_column": "text", "group_column": "IDENTITY"}
    prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", **columns)
    seen = []
    for split in SPLITS:
        header, *rows = (tmp_path / "out" / f"{split}.csv").read_text().splitlines()
        assert header == "FILENAME,IDENTITY,OTHER_IDENTITY,FILE,GROUP,OTHER_OTHER_IDENTITY"
        for row in rows:
            i = int(row.split(".png")[0])
            assert row == f"{i}.png,text {i},old {i},file {i},{i % 7},{i * i}"
            seen.append(i)
    assert sorted(seen) == list(range(30))


def nested_set(folder):
    """Ten images in two subfolders and a table of their bare names."""
    names = [f"page {i % 2}/l{i}.png" for i in range(10)]
    make_folder(folder / "images", {name: image_bytes("PNG", i) for i, name in enumerate(names)})
    (folder / "t.csv").write_text(HEADER + "".join(f"l{i}.png,{i}\n" for i in range(10)))
    return dict(images=folder / "images", table=folder / "t.csv", out=folder / "out")


def test_bare_names_of_images_in_subfolders(tmp_path):
    own = nested_set(tmp_path)
    with pytest.raises(ValueError, match="t.csv: 10 of 10 images are not in .*images itself .*'page 0/l0.png'; use --recur"):
        prepare_folder(**own)
    assert not (tmp_path / "out").exists()
    report = prepare_folder(**own, recursive=True)
    assert (report.splits["table"].kept, report.splits["table"].without_row) == (10, 0)
    texts = []
    for split in SPLITS:
        for name, text in read_labels(tmp_path / "out" / f"{split}.csv").values:
            texts.append(text)
            with Image.open(tmp_path / "out" / split / name) as image:
                assert name == f"l{text}.png" and image.getpixel((0, 0)) == int(text)
    assert sorted(texts) == [str(i) for i in range(10)]


def test_ambiguous_bare_names_are_refused_with_both_paths(tmp_path):
    own = nested_set(tmp_path)
    make_folder(tmp_path / "images", {"page 1/l4.png": IMAGE, "l6.png": IMAGE, "page 1/unnamed.png": IMAGE})
    with pytest.raises(ValueError, match="t.csv: 'l4.png' could be 'page 0/l4.png' or 'page 1/l4.png' in .*2 names are"):
        prepare_folder(**own, recursive=True)
    with open(tmp_path / "t.csv", "a") as table:  # a row that says which it is leaves only one for the bare name
        table.write("page 1/l4.png,10\n./page 0/l6.png,11\n")
    report = prepare_folder(**own, recursive=True)
    assert (report.splits["table"].kept, report.splits["table"].without_row) == (12, 1)
    image_of = {
        text: tmp_path / "out" / split / name
        for split in SPLITS
        for name, text in read_labels(tmp_path / "out" / f"{split}.csv").values
    }
    assert image_of["6"].read_bytes() == image_of["10"].read_bytes() == IMAGE
    assert image_of["4"].read_bytes() == image_bytes("PNG", 4) and image_of["11"].read_bytes() == image_bytes("PNG", 6)


def test_a_folder_may_be_a_zip(tmp_path):
    images = make_zip(tmp_path / "i.zip", {f"scans/{i}.jpg": IMAGE for i in range(9)})
    (tmp_path / "t.csv").write_text(HEADER + "".join(f"{i}.jpg,{i}\n" for i in range(9)))
    assert prepare_folder(images, tmp_path / "t.csv", tmp_path / "out", recursive=True).splits["table"].kept == 9


# --- All or nothing ---


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
    killed = subprocess.run([sys.executable, "-c", code, source, tmp_path / "out"], cwd=Path(__file__).parents[1])
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
    killed = subprocess.run([sys.executable, "-c", code, source, out], cwd=Path(__file__).parents[1])
    assert killed.returncode == 9 and not out.exists()
    with pytest.raises(AlreadyPrepared):
        prepare_kaggle(source, out)
    assert everything_under(out) == before and listed(tmp_path) == ["k", "out"]


# --- Command line ---


def test_command_line(tmp_path, capsys):
    own_set(tmp_path)
    arguments = ["folder", str(tmp_path / "images"), str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]
    columns = ["--filename-column", "scan", "--text-column", "texte", "--group-column", "main"]
    assert main([*arguments, *columns]) == 0
    assert "rows read" in capsys.readouterr().out
    assert main([*arguments, *columns]) == 0  # a second time: nothing to do
    assert "already prepared" in capsys.readouterr().out
    with open(tmp_path / "t.csv", "a") as table:
        table.write("\n")
    assert main([*arguments, *columns]) == 2  # the table has changed since
    assert "another source or with other options" in capsys.readouterr().err
    assert main([*arguments, "--text-column", "text", "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "no column 'FILENAME'; the columns there are 'scan', 'texte', 'main'" in error and "Traceback" not in error
    assert main(["kaggle", str(tmp_path / "none.zip"), "--out", str(tmp_path / "x")]) == 2


def test_command_line_recursive(tmp_path, capsys):
    own = {name: str(path) for name, path in nested_set(tmp_path).items()}
    arguments = ["folder", own["images"], own["table"], "--out", own["out"]]
    assert main(arguments) == 2 and "use --recursive" in capsys.readouterr().err
    assert main([*arguments, "--recursive"]) == 0 and "= rows kept" in capsys.readouterr().out


def test_preparing_needs_no_torch(tmp_path):
    make_zip(tmp_path / "k.zip", kaggle_files())
    code = (
        "import sys\nfrom hwrlib.sources.__main__ import main\n"
        "assert main(['kaggle', sys.argv[1], '--out', sys.argv[2]]) == 0\nsys.exit('torch' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "k.zip", tmp_path / "out"], check=True, cwd=Path(__file__).parents[1]
    )
