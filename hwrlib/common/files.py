"""Files: written complete or not at all, by one process at a time; disk errors that say what to do; finding images."""

import errno
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO
from uuid import uuid4

from filelock import FileLock, Timeout

from hwrlib.decode import printable

logger = logging.getLogger("hwrlib")

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".ppm", ".pgm", ".pbm"}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ABANDONED = 3600  # seconds after which a partial file that nobody has touched was left by a killed process


class WriteError(OSError):
    """A file could not be written; the message names it and says what is needed."""


class Busy(OSError):
    """Another process is writing there."""


def has_control(text: str) -> bool:
    """True if the text holds a control character, such as a line break."""
    return CONTROL.search(text) is not None


# Errors --------------------------------------------------------------------------------------------------------------


@contextmanager
def with_remedy(path: str | Path, *, kept: str = "") -> Iterator[None]:
    """Turn the system's errors about a full or read-only disk, raised in the block, into a message with a remedy.

    An error that names another file, one that is read in the block for instance, is raised unchanged.

    Args:
        path: the file or folder that is being written.
        kept: what is not lost, for the message.
    Raises:
        WriteError: instead of such an error.
    """
    try:
        yield
    except OSError as error:
        foreseen = error.errno in NO_SPACE | NO_PERMISSION and not isinstance(error, WriteError)
        if not foreseen or not _is_about(error, path):
            raise
        remedy = "free space on that disk" if error.errno in NO_SPACE else "make its folder writable"
        raise WriteError(
            f"{printable(path)}: could not be written ({os.strerror(error.errno)}); {remedy}, or choose another folder"
            f"{'; ' + kept if kept else ''}"
        ) from error


def _is_about(error: OSError, path: str | Path) -> bool:
    """Whether an error may concern the writing of `path`: it names the path, a folder above it, a file in it, or nothing."""
    if not isinstance(error.filename, (str, bytes, os.PathLike)):
        return True
    named, path = (Path(os.path.abspath(os.fsdecode(each))) for each in (error.filename, path))
    beside = [each for each in (named, *named.parents) if each.parent == path.parent]
    return named in path.parents or any(each == path or each.name.startswith(f".{path.name}.") for each in beside)


# Locks ---------------------------------------------------------------------------------------------------------------


@contextmanager
def locked(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """While the block runs, no other process writes `path`, as long as all of them ask for this lock.

    What a killed process left beside `path` is tidied up first. The lock is a file, `.<name>.lock`, beside `path`; the
    system releases it when its process ends, however it ends. Blocks of one thread may be nested.

    Args:
        path: a file or a folder; it need not exist.
        wait: for another process to finish, if necessary; this is logged once.
    Raises:
        Busy: another process holds the lock, and `wait` is off.
        WriteError: the lock file cannot be made, because the disk is full or read-only.
    """
    path = Path(path).resolve()
    # mode: whoever may write in this folder may lock in it, too.
    lock = FileLock(path.with_name(f".{path.name}.lock"), mode=0o666, is_singleton=True)
    is_first = not lock.is_locked
    with with_remedy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise Busy(
                    f"{printable(path)}: another process is writing there; wait until it has finished, or choose another "
                    "place"
                ) from None
            logger.warning("%s: waiting for another process that is writing there ...", printable(path))
            lock.acquire(timeout=-1)
    try:
        if is_first:
            _tidy(path)
        yield
    finally:
        lock.release()


def _tidy(path: Path) -> None:
    """Remove what killed processes left of writing `path`; a folder that one was about to replace comes back.

    Only for the process that holds the lock of `path`.
    """
    old = _old(path)
    if old.exists():
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(path)
    for left in _partials(path):
        _remove(left)


def _old(path: Path) -> Path:
    """Where a folder is kept while another replaces it."""
    return path.with_name(f".{path.name}.old")


def _new_partial(path: Path) -> Path:
    """Where `path` is written before it is complete; no two writers share this name."""
    return path.with_name(f".{path.name}.{uuid4().hex[:12]}.partial")


def _partials(path: Path) -> list[Path]:
    return list(path.parent.glob(f".{escape(path.name)}.*.partial"))


def _remove(path: Path) -> None:
    """Remove a file or a folder as far as possible."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


# Writing -------------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write to, which replaces `path` if the block succeeds.

    It is written under another name, flushed to the disk and renamed: whenever the process is killed, `path` is either the
    old file or the new one. Of several writers, the last one wins. What a killed process left is removed after an hour.

    Raises:
        WriteError: the disk is full or read-only; the old file is intact.
    """
    path = Path(path)
    partial = _new_partial(path)
    try:
        with with_remedy(path, kept="the file that was there is intact" if path.exists() else ""):
            _remove_abandoned(path)
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    finally:
        _remove(partial)


def _remove_abandoned(path: Path) -> None:
    """Remove partial files of `path` that nobody writes any more, though its lock may not be held."""
    for left in _partials(path):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `path` if the block succeeds and is removed otherwise.

    The lock of `path` is held meanwhile. A caller that first checks what is there holds it around both (see `locked`).

    Raises:
        WriteError: the disk is full or read-only; an old folder at `path` is intact.
    """
    path = Path(path).resolve()
    partial = _new_partial(path)
    with locked(path), with_remedy(path):
        try:
            partial.mkdir()
            yield partial
            if path.exists():
                path.rename(_old(path))
            partial.rename(path)
        finally:
            _tidy(path)


# Finding -------------------------------------------------------------------------------------------------------------


def find_images(source: str | Path, *, recursive: bool = False) -> list[Path]:
    """The images that a file, a folder or a glob pattern names, sorted.

    Hidden files and folders are ignored, whose names begin with a dot, and so are pipes and devices. Links to folders are
    not followed below the source, since they may lead in a circle; a link to a file that is missing is among the images,
    so that whoever reads them reports it.

    Args:
        source: a pattern may hold `**` for any depth of folders.
        recursive: search the folder's subfolders, too.
    Raises:
        FileNotFoundError: there is none.
        PermissionError: the folder may not be read.
    """
    path = Path(source)
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        found = [each for each in _files_below(path, recursive=recursive) if each.suffix.lower() in IMAGE_SUFFIXES]
    else:
        pattern = path.relative_to(path.anchor) / ("*" if path.name == "**" else "")
        found = [each for each in Path(path.anchor).glob(str(pattern)) if not _hidden(each) - _hidden(path)]
    found = sorted(each for each in found if os.path.isfile(each) or not os.path.exists(each))
    if not found:
        hint = "" if recursive or not os.path.isdir(path) else "; its subfolders are searched if you ask for it (recursive)"
        raise FileNotFoundError(
            f"{printable(source)}: no image there; give a file, a folder of images or a pattern such as 'scans/*.png'{hint}"
        )
    return found


def _files_below(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """What is in a folder and not a folder itself; subfolders that may not be read are reported."""

    def report(error: OSError) -> None:
        if error.filename == str(folder):
            raise error
        logger.warning("%s: skipped (%s)", printable(error.filename), error.strerror)

    for root, folders, files in os.walk(folder, onerror=report):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield from (Path(root, name) for name in files if not name.startswith("."))


def _hidden(path: Path) -> set[str]:
    return {part for part in path.parts if part.startswith(".")}
