"""Files: writing them complete or not at all, disk errors that say what to do, and finding images."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import IO

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".ppm", ".pgm", ".pbm"}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


class WriteError(OSError):
    """A file could not be written; the message names it and says what is needed."""


@contextmanager
def with_remedy(path: str | Path, *, kept: str = "") -> Iterator[None]:
    """Turn the system's errors about a full or read-only disk, raised in the block, into a message with a remedy.

    Args:
        path: the file or folder that is being written.
        kept: what is not lost, for the message.
    Raises:
        WriteError: instead of such an error.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, WriteError) or error.errno not in NO_SPACE | NO_PERMISSION:
            raise
        remedy = "free space on that disk" if error.errno in NO_SPACE else "make its folder writable"
        raise WriteError(
            f"{path}: could not be written ({os.strerror(error.errno)}); {remedy}, or choose another folder"
            f"{'; ' + kept if kept else ''}"
        ) from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which replaces `path` if the block succeeds.

    It is written as `.partial`, flushed to the disk and renamed: whenever the process is killed, `path` is
    either the old file or the new one.

    Raises:
        WriteError: the disk is full or read-only; the old file is intact.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with with_remedy(path, kept="the file that was there is intact" if path.exists() else ""):
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `path` if the block succeeds and is removed otherwise.

    What a killed process left beside `path` is removed, too.

    Raises:
        WriteError: the disk is full or read-only; an old folder at `path` is intact.
    """
    path = Path(path).resolve()
    folder, old = path.with_name(f".{path.name}-partial"), path.with_name(f".{path.name}-old")
    with with_remedy(path):
        for left in (folder, old):
            shutil.rmtree(left, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
            if path.exists():
                path.rename(old)
            folder.rename(path)
        finally:
            for left in (folder, old):
                shutil.rmtree(left, ignore_errors=True)


def find_images(source: str | Path, *, recursive: bool = False) -> list[Path]:
    """The images that a file, a folder or a glob pattern names, sorted.

    Args:
        source: a pattern may hold `**` for any depth of folders.
        recursive: search the folder's subfolders, too.
    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        entries = path.rglob("*") if recursive else path.iterdir()
        found = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    else:
        found = [Path(name) for name in glob(str(source), recursive=True) if Path(name).is_file()]
    if not found:
        hint = "" if recursive or not path.is_dir() else "; its subfolders are searched if you ask for it (recursive)"
        raise FileNotFoundError(
            f"{source}: no image there; give a file, a folder of images or a pattern such as 'scans/*.png'{hint}"
        )
    return sorted(found)
