"""hwrlib.common.files: one process at a time, whole or not at all, and whose fault an error is."""

import os
import time
from pathlib import Path

import pytest

from hwrlib.common import files
from hwrlib.common.files import Busy, WriteError, atomic_folder, atomic_write, locked, with_remedy


def names(folder: Path) -> list[str]:
    """What lies in a folder, without locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def write_folder(path: Path, content: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "file").write_text(content, encoding="utf-8")


# Locks ---------------------------------------------------------------------------------------------------------------


def test_a_held_lock_is_an_error_that_names_the_path_if_nobody_waits(tmp_path, held_by_another_process):
    with held_by_another_process(tmp_path / "set"):
        with pytest.raises(Busy, match="set: another process is writing there; wait"), locked(tmp_path / "set", wait=False):
            pass
    with locked(tmp_path / "set", wait=False):
        pass


def test_a_held_lock_is_waited_for_and_this_is_logged_once(tmp_path, held_by_another_process, caplog, monkeypatch):
    with held_by_another_process(tmp_path / "set") as other:
        warning = files.logger.warning

        def release_and_warn(*arguments):
            warning(*arguments)
            other.stdin.close()

        monkeypatch.setattr(files.logger, "warning", release_and_warn)
        with locked(tmp_path / "set"):
            assert other.stdin.closed
    assert [record.message.count("waiting for another process") for record in caplog.records] == [1]


def test_a_killed_process_releases_its_lock(tmp_path, held_by_another_process):
    with held_by_another_process(tmp_path / "set") as other:
        other.kill()
        other.wait()
        with locked(tmp_path / "set", wait=False):
            pass


def test_blocks_of_one_process_may_be_nested(tmp_path):
    with locked(tmp_path / "set"):
        write_folder(tmp_path / "set", "new")
        with locked(tmp_path / "set", wait=False):
            assert names(tmp_path / "set") == ["file"]


def test_a_lock_makes_the_folders_above(tmp_path):
    with locked(tmp_path / "a" / "b" / "set"):
        assert (tmp_path / "a" / "b").is_dir()


# What kills leave ----------------------------------------------------------------------------------------------------


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    write_folder(tmp_path / "set", "old")
    (tmp_path / "set").rename(tmp_path / ".set.old")
    (tmp_path / ".set.0123.partial").mkdir()
    with locked(tmp_path / "set"):
        assert (tmp_path / "set" / "file").read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["set"]


def test_a_kill_after_the_second_rename_leaves_the_new_folder(tmp_path):
    write_folder(tmp_path / "set", "new")
    write_folder(tmp_path / ".set.old", "old")
    with locked(tmp_path / "set"):
        assert (tmp_path / "set" / "file").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["set"]


def test_an_empty_folder_does_not_count_as_the_new_one(tmp_path):
    write_folder(tmp_path / ".set.old", "old")
    (tmp_path / "set").mkdir()
    with locked(tmp_path / "set"):
        assert (tmp_path / "set" / "file").read_text(encoding="utf-8") == "old"


def test_a_rename_that_fails_brings_the_old_folder_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "set", "old")
    real = Path.rename

    def fail_for_the_new_one(self, target):
        if self.suffix == ".partial":
            raise PermissionError(13, "in use", str(self))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(WriteError, match="set: could not be written"):
        write_folder(tmp_path / "set", "new")
    assert (tmp_path / "set" / "file").read_text(encoding="utf-8") == "old" and names(tmp_path) == ["set"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_whatever_ends_the_writing_leaves_the_old_file_alone(tmp_path, error):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(error), atomic_write(tmp_path / "file") as file:
        file.write(b"half")
        raise error
    assert (tmp_path / "file").read_bytes() == b"old" and names(tmp_path) == ["file"]


def test_two_writers_of_a_file_do_not_touch_each_others_half(tmp_path):
    with atomic_write(tmp_path / "file") as first:
        first.write(b"first")
        with atomic_write(tmp_path / "file") as second:
            second.write(b"second")
        assert (tmp_path / "file").read_bytes() == b"second"
    assert (tmp_path / "file").read_bytes() == b"first" and names(tmp_path) == ["file"]


def test_a_partial_file_is_removed_when_nobody_has_touched_it_for_an_hour(tmp_path):
    for name, age in ((".file.0.partial", 2 * files.ABANDONED), (".file.1.partial", 0), (".other.0.partial", 9e6)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"whole")
    assert names(tmp_path) == [".file.1.partial", ".other.0.partial", "file"]


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", ["set", "set/train/a.png", ".set.0123.partial/a.png", ".set.lock", "", None], ids=lambda name: str(name)
)
def test_an_error_about_the_destination_gets_a_remedy(tmp_path, named):
    filename = None if named is None else str(tmp_path / named)
    with pytest.raises(WriteError, match="set: could not be written.*make its folder writable"):
        with with_remedy(tmp_path / "set"):
            raise PermissionError(13, "Permission denied", filename)


@pytest.mark.parametrize("named", ["source/a.png", "set2", ".set2.0123.partial/a.png"])
def test_an_error_about_another_file_does_not_blame_the_destination(tmp_path, named):
    with pytest.raises(PermissionError) as error, with_remedy(tmp_path / "set"):
        raise PermissionError(13, "Permission denied", str(tmp_path / named))
    assert not isinstance(error.value, WriteError)
