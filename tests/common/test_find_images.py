"""hwrlib.common.files.find_images: what a folder or a pattern holds, and no file twice."""

import errno
import os
import sys

import pytest

from hwrlib.common.files import find_images


def test_find_images(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.JPG", "b.png"]
    assert find_images(tmp_path / "b.png") == [tmp_path / "b.png"]
    assert [path.name for path in find_images(f"{tmp_path}/*.png")] == ["b.png"]
    (tmp_path / "page 1").mkdir()
    (tmp_path / "page 1/c.png").touch()
    assert [path.name for path in find_images(tmp_path, recursive=True)] == ["a.JPG", "b.png", "c.png"]
    assert [path.name for path in find_images(f"{tmp_path}/**/*.png")] == ["b.png", "c.png"]
    for pattern in ("page 1/../*.png", "../page 1/../b.png", "b.png"):
        monkeypatch.chdir(tmp_path / "page 1" if pattern.startswith("..") else tmp_path)
        assert [path.name for path in find_images(pattern)] == ["b.png"]
    assert len(find_images(f"{tmp_path}/**")) == 4
    for nothing in (tmp_path / "c.png", f"{tmp_path}/*.gif", tmp_path / "nowhere", "a\0.png"):
        with pytest.raises(FileNotFoundError, match="no image there"):
            find_images(nothing)


def test_find_images_ignores_what_is_hidden(tmp_path):
    for name in ("scan.png", "._scan.png", ".thumbnails/scan.png", "page/.scan.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for found in (find_images(tmp_path), find_images(tmp_path, recursive=True), find_images(f"{tmp_path}/**/*.png")):
        assert found == [tmp_path / "scan.png"]
    assert find_images(f"{tmp_path}/.thumbnails/*.png") == [tmp_path / ".thumbnails/scan.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_find_images_follows_no_link_in_a_circle_and_loses_no_file(tmp_path):
    (tmp_path / "page.png").mkdir()
    (tmp_path / "page.png/scan.png").touch()
    for name, target in {"a": ".", "b": ".", "page.png/up": "..", "gone.png": "nowhere", "self.png": "self.png"}.items():
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    names = ["gone.png", "page.png/scan.png", "self.png"]
    for found in (find_images(tmp_path, recursive=True), find_images(f"{tmp_path}/**/*.png")):
        assert [path.relative_to(tmp_path).as_posix() for path in found] == names


def test_find_images_reports_a_folder_that_may_not_be_read(tmp_path, monkeypatch, caplog):
    for name in ("scan.png", "private/scan.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir, refused = os.scandir, {str(tmp_path / "private")}

    def guarded(folder):
        if str(folder) in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert find_images(tmp_path, recursive=True) == [tmp_path / "scan.png"]
    assert "private: skipped (Permission denied)" in caplog.text
    refused.add(str(tmp_path))
    with pytest.raises(PermissionError, match="Permission denied"):
        find_images(tmp_path)
