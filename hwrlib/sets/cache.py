"""Lines decoded and normalised once: one flat file of uint8 ink, mapped into memory.

A set larger than memory costs only disk, and no epoch ever decodes an image. The file's name holds a fingerprint of the
image files (name, size, time of change) and of the normalisation: if one of them changes, the cache is built again. So it is
if it is damaged.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from hwrlib.common.files import atomic_write, locked
from hwrlib.common.progress import logger
from hwrlib.images import Normalisation, normalise

VERSION = 4  # raised whenever the same images give other ink
EFFECTIVE_IDS = os.access in os.supports_effective_ids  # ask what this process may do, where the system can tell
LINES_PER_WORKER = 2000  # another process that builds the cache must be worth its start


class InkCache:
    """The normalised lines of a folder of images; `cache[i]` is (H, W) uint8 ink.

    Of several processes that need the same cache, one builds it and the others wait.

    Args:
        folder: of the images, `data/mine/train` for instance; the cache is kept in `data/mine/.cache/`.
        names: the image files, relative to the folder.
        normalisation: how every image is prepared.
    Attributes:
        widths: (len,) px of each line; 0 for a broken one.
        broken: why images cannot be read, by place.
        digest: of all ink.
    Raises:
        FileNotFoundError: the folder was removed or replaced while its lines were cached.
        WriteError: the disk is full or read-only.
    """

    def __init__(self, folder: Path, names: Sequence[str], normalisation: Normalisation):
        self.height = normalisation.height
        stem = f"{folder.name}-{hashlib.sha1(repr(normalisation).encode()).hexdigest()[:8]}"
        place = folder.parent / ".cache" / stem  # what the names of all caches for this normalisation begin with
        self._path = place.with_name(f"{stem}-{_fingerprint(folder, names)}.ink")
        if not self._open(len(names)):
            with locked(place):
                if not self._open(len(names)):  # another process may just have built it
                    self._build(folder, names, normalisation)
                    self._open(len(names))
                    _remove_others(place, self._path)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._ink is None:  # in a worker process that was not forked
            self._ink = self._map()
        return np.array(self._ink[self._offsets[index] : self._offsets[index + 1]]).reshape(self.height, -1)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_ink": None}

    def _open(self, lines: int) -> bool:
        """Read the index and map the ink, which others may remove from then on; False if there is no whole cache."""
        try:
            index = json.loads(self._path.with_suffix(".json").read_bytes())
            self.broken = {int(i): str(reason) for i, reason in index["broken"].items()}
            self.widths, self.digest = np.array(index["widths"], dtype=np.int64), str(index["digest"])
            self._offsets = np.concatenate([[0], np.cumsum(self.widths * self.height)])
            if len(self.widths) != lines or set(np.flatnonzero(self.widths <= 0)) != set(self.broken):
                raise ValueError("the index does not belong to these lines")
            if self._path.stat().st_size != self._offsets[-1]:
                raise ValueError("the ink does not belong to the index")
            self._ink = self._map()
            return True
        except FileNotFoundError:
            return False
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            logger.info("%s: damaged, or of an earlier version (%s); the lines are cached again", self._path, error)
            return False

    def _map(self) -> np.ndarray:
        """The ink, read from the file only where it is used; copy on write: the file is never changed."""
        return np.memmap(self._path, np.uint8, mode="c") if self._offsets[-1] else np.empty(0, np.uint8)

    def _build(self, folder: Path, names: Sequence[str], normalisation: Normalisation) -> None:
        """Write the ink, then the index that makes it valid; each file appears complete or not at all."""
        try:
            with atomic_write(self._path) as file:
                index = _write_ink(file, [folder / name for name in names], normalisation)
            with atomic_write(self._path.with_suffix(".json")) as file:
                file.write(json.dumps(index).encode())
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{folder}: removed or replaced by another process while its lines were cached; start again"
            ) from error


def _remove_others(place: Path, path: Path) -> None:
    """Remove caches of earlier versions of the images, and what killed processes left of theirs."""
    for pattern in (f"{escape(place.name)}-*", f".{escape(place.name)}-*.partial"):
        for other in place.parent.glob(pattern):
            if other not in (path, path.with_suffix(".json")):
                with suppress(OSError):  # Windows keeps files that a training has open
                    other.unlink()


def _write_ink(file: BinaryIO, images: Sequence[Path], normalisation: Normalisation) -> dict[str, Any]:
    """Normalise every image and write its ink; the index: all widths, why images are broken by place, and a digest."""
    widths, broken, digest = [], {}, hashlib.sha1()
    # Processes, not threads: decoding a line takes such short steps that threads would wait for each other.
    workers = min(os.cpu_count() or 1, len(images) // LINES_PER_WORKER)
    chunks = DataLoader(_Normalised(images, normalisation), batch_size=32, num_workers=workers, collate_fn=list)
    quiet = True if os.environ.get("TQDM_DISABLE") else None  # the notebook's bar ignores the variable
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers inherit it; each core has one
    try:
        for i, line in enumerate(chain.from_iterable(tqdm(chunks, desc="caching lines", leave=False, disable=quiet))):
            if isinstance(line, str):
                broken[i] = line
                widths.append(0)
            else:
                ink = line.tobytes()
                file.write(ink)
                widths.append(line.shape[1])
                digest.update(b"%d:" % line.shape[1] + ink)
    finally:
        cv2.setNumThreads(threads)
    return {"widths": widths, "broken": broken, "digest": digest.hexdigest()}


class _Normalised(Dataset):
    """Images, decoded and normalised on demand; the reason instead if one cannot be read."""

    def __init__(self, images: Sequence[Path], normalisation: Normalisation):
        self.images, self.normalisation = images, normalisation

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray | str:
        try:
            return normalise(self.images[index], self.normalisation).ink
        except ValueError as error:
            return str(error)


def _fingerprint(folder: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha1(str(VERSION).encode())
    for name in names:
        try:
            status = os.stat(folder / name)
            access = "" if os.access(folder / name, os.R_OK, effective_ids=EFFECTIVE_IDS) else " unreadable"
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}{access}\n".encode())
        except (OSError, ValueError):  # ValueError: a NUL in the name
            digest.update(f"{name} missing\n".encode())
    return digest.hexdigest()[:16]
