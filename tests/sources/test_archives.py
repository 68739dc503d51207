"""Hostile archives: members that are refused and counted, bombs, links, pipes."""

import os
import stat
import struct
import zipfile

import numpy as np
import pytest

from hwrlib.common import archives
from hwrlib.sets.labels import read_labels
from hwrlib.sources import (
    MB,
    ArchiveError,
    layout,
    open_source,
    prepare_kaggle,
)
from tests.sources.examples import IMAGE, kaggle_files, listed, make_folder, make_zip


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
