"""Reading an untrusted zip archive or folder safely, as names and bytes.

Nothing here writes, and links are never followed, so no name in an archive becomes a path by itself. Nothing is trusted:
not the names, not the declared sizes, not the compression ratio.
"""

import errno
import os
import posixpath
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from hwrlib.common.files import has_control

MB = 1_000_000
TOTAL_LIMIT = 20_000 * MB  # bytes of a whole archive, unpacked; Kaggle's has about 1,300 MB
RATIO_LIMIT = 200  # unpacked / packed size; about 1 for images, 10 for tables
# What `zipfile` raises on a damaged archive.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError)


class ArchiveError(ValueError):
    """The archive is damaged, or exceeds a size limit when unpacked."""


class Source:
    """The files of an archive or a folder, by name.

    Attributes:
        files: name -> location. Names are relative, in NFC, with "/" between folders.
        refused: reason -> number of files that are not in `files`.
    """

    def __init__(self, path: Path):
        self.path = path
        self.files: dict[str, object] = {}
        self.refused: Counter = Counter()

    def read(self, name: str, limit: int) -> bytes:
        """Read one file.

        Args:
            name: one of `files`.
            limit: largest size in bytes, whatever size the archive declares.
        Returns:
            The content.
        Raises:
            ArchiveError: the file is larger, or the archive is damaged.
        """
        try:
            with self._open(name) as file:
                data = file.read(limit + 1)
        except (*DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a seek to an impossible offset
                raise
            raise ArchiveError(f"{self.path}: {name!r} is damaged ({error}); download the archive again") from error
        if len(data) > limit:
            raise ArchiveError(f"{self.path}: {name!r} is larger than the limit of {limit // MB} MB")
        return data

    def _open(self, name: str) -> BinaryIO:
        raise NotImplementedError

    def _add(self, name: str, file: object, fault: str | None = None) -> None:
        key = posixpath.normpath(unicodedata.normalize("NFC", name))
        if is_unsafe(name):
            fault = "unsafe name"
        elif key in self.files:
            fault = "duplicate name"
        if fault:
            self.refused[fault] += 1
        elif not re.search(r"(^|/)(\.|__MACOSX/|Thumbs\.db$)", key):  # left behind by file managers
            self.files[key] = file


class _Folder(Source):
    def __init__(self, path: Path):
        super().__init__(path)
        root = os.path.realpath(path)
        for folder, folders, files in os.walk(root, onerror=lambda error: self.refused.update(["unreadable folder"])):
            for full in (os.path.join(folder, name) for name in folders + files):
                fault = _file_fault(full)
                if fault or os.path.isfile(full):
                    self._add(os.path.relpath(full, root).replace(os.sep, "/"), full, fault)

    def _open(self, name: str) -> BinaryIO:
        return open(self.files[name], "rb")


class _Zip(Source):
    def __init__(self, path: Path):
        super().__init__(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise ArchiveError(f"{path}: not a zip archive, or damaged ({error}); download it again") from error
        for info in self.zip.infolist():
            if not info.orig_filename.endswith("/"):
                # Not `filename`, which is cut at a NUL and has its backslashes replaced on Windows.
                self._add(info.orig_filename, info, _member_fault(info))
        unpacked = sum(info.file_size for info in self.files.values())
        limit = min(TOTAL_LIMIT, RATIO_LIMIT * path.stat().st_size)
        if unpacked > limit:
            largest = max(self.files, key=lambda name: self.files[name].file_size)
            raise ArchiveError(
                f"{path}: unpacks to {unpacked / MB:,.1f} MB (largest: {largest!r}), the limit is "
                f"{limit / MB:,.1f} MB; if you trust it, unpack it yourself and pass the folder"
            )

    def _open(self, name: str) -> BinaryIO:
        return self.zip.open(self.files[name])


def _file_fault(path: str) -> str | None:
    """Why a file of a folder is never opened: a link may point outside the folder, and a pipe may never end."""
    if os.path.islink(path):
        return "link"
    return None if os.path.isfile(path) or os.path.isdir(path) else "pipe or device"


def _member_fault(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was not made on Unix
    if kind not in (0, stat.S_IFREG):
        return "link or device"
    if info.flag_bits & 1:
        return "encrypted"
    # bz2 and lzma unpack whole blocks, however little is read at a time, which would bypass the limits.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "unsupported compression"
    return None


def is_unsafe(name: str) -> bool:
    """True for a name that is not a plain relative path on every operating system."""
    return (
        not name
        or name.startswith("/")
        or ".." in name.split("/")
        or "\\" in name
        or re.match("[A-Za-z]:", name) is not None
        or has_control(name)
    )


def open_source(path: str | Path) -> Source:
    """Open a folder or a zip archive.

    Raises:
        ArchiveError: the file is not a zip archive, is damaged, or is a decompression bomb.
    """
    return _Folder(Path(path)) if Path(path).is_dir() else _Zip(Path(path))
