"""The images of a source, by name: a folder, a pattern, an archive or a list of paths."""

import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hwrlib.common.archives import MB, ArchiveError, open_source
from hwrlib.common.files import IMAGE_SUFFIXES, find_images
from hwrlib.decode import printable
from hwrlib.sets.labels import parse_cells

IMAGE_LIMIT = 50 * MB  # bytes of an image in an archive
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Images:
    """The images of a source, by name."""

    def __init__(self, source: str | Path):
        self.source, path = str(source), Path(source)
        name = path.name.lower()
        self._root, self._archive = None, None
        if path.is_file() and name.endswith((".zip", *TARS)):
            names = self._members()
        elif path.is_file() and name.endswith((".csv", ".tsv")):
            self._root, names = path.parent, _listed(path)
        else:
            self._root, found = path if path.is_dir() else Path(), find_images(path, recursive=True)
            names = [(each.relative_to(path) if path.is_dir() else each).as_posix() for each in found]
        if not names:
            raise FileNotFoundError(f"{source}: no image there")
        self.names = list(dict.fromkeys(map(printable, names)))
        self._original = {printable(name): name for name in names if printable(name) != name}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_archive": None, "names": []}  # a process opens the archive itself

    def get(self, name: str) -> Path | bytes | ValueError:
        """An image, for `Recognizer.read`."""
        original = self._original.get(name, name)
        if self._root is not None:
            return self._root / original
        try:
            return self._opened().read(original, IMAGE_LIMIT)
        except (ArchiveError, KeyError, tarfile.TarError, OSError, EOFError) as error:
            return ValueError(f"{name}: cannot be read from {self.source} ({error})")

    def _opened(self):
        if self._archive is None:
            self._archive = _Tar(self.source) if self.source.lower().endswith(TARS) else open_source(self.source)
        return self._archive

    def _members(self) -> list[str]:
        return sorted(name for name in self._opened().files if Path(name).suffix.lower() in IMAGE_SUFFIXES)


class _Tar:
    """The regular files of a tar archive, read where they are; links and devices in it do not exist."""

    def __init__(self, path: str):
        try:
            self._tar = tarfile.open(path)
            self.files = {member.name.removeprefix("./"): member for member in self._tar if member.isreg()}
        except (tarfile.TarError, OSError, EOFError) as error:
            raise ArchiveError(f"{path}: not a tar archive, or damaged ({error})") from None

    def read(self, name: str, limit: int) -> bytes:
        data = self._tar.extractfile(self.files[name]).read(limit + 1)
        if len(data) > limit:
            raise ArchiveError(f"larger than the limit of {limit // MB} MB")
        return data


def _listed(table: Path) -> list[str]:
    """The paths in a CSV."""
    for column in ("filename", "FILENAME", "path"):
        with suppress(ValueError):
            return [path for (path,) in parse_cells(table.read_bytes(), name=str(table), headers=[column])]
    raise ValueError(f"{table}: no column filename, FILENAME or path")
