"""The file of a language model: a line of magic, a line of JSON, and compressed arrays.

    hwrlib-language-1
    {"kind": "CharacterModel", ..., "arrays": [["classes", "<u2", 57935], ["log_probs", "<f2", 57935]]}
    (xz: the little-endian bytes of the arrays, one after the other; earlier versions compressed them by zlib, a half larger)

No pickle, so a file runs no code. The sizes are checked against the file before anything is allocated.
"""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hwrlib.common.files import atomic_write

MAGIC = b"hwrlib-language-1\n"
DTYPES = ("<u1", "<u2", "<u4", "<f2", "<f4")
MAX_HEADER = 1 << 20  # bytes
MAX_BYTES = 1 << 28  # of a file, and of its arrays when unpacked: 32 million n-grams
MAX_RATIO = 8000  # xz packs at most some 7,000 bytes into one
MAX_MEMORY = 1 << 26  # bytes that unpacking needs besides
XZ = b"\xfd7zXZ\0"  # what it begins with


def write(path: str | Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a header of plain values and one-dimensional arrays.

    Raises:
        WriteError: the disk is full or read-only; an old file is intact.
    """
    parts = [[name, array.dtype.str.replace("|", "<"), len(array)] for name, array in arrays.items()]
    payload = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    with atomic_write(path) as file:
        file.write(MAGIC + json.dumps({**header, "arrays": parts}).encode() + b"\n" + lzma.compress(payload))


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what `write` wrote: the header, and the arrays by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such language model; save one with `CharacterModel.save`")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes; a language model has at most {MAX_BYTES}")
    with open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path}: not a language model of this version of hwrlib ({MAGIC.decode().strip()})")
        line, packed = file.readline(MAX_HEADER), file.read()
    try:
        header = json.loads(line)
        parts = [(str(name), np.dtype(DTYPES[DTYPES.index(dtype)]), length) for name, dtype, length in header["arrays"]]
        return header, _unpack(packed, parts)
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path}: damaged or cut short ({error}); save the language model again") from error


@contextmanager
def fitting_together(path: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong in the block, which makes an object of a file's parts, into a clear error.

    Raises:
        ValueError: instead of it.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: damaged, its parts do not fit together ({error!r}); save it again") from error


def _unpack(packed: bytes, parts: list[tuple[str, np.dtype, int]]) -> dict[str, np.ndarray]:
    if any(type(length) is not int or length < 0 for _, _, length in parts):
        raise ValueError("the length of an array is not a whole number")
    size = sum(dtype.itemsize * length for _, dtype, length in parts)
    if size > min(MAX_BYTES, MAX_RATIO * len(packed)):
        raise ValueError(f"arrays of {size} bytes are said to be in {len(packed)}")
    is_xz = packed.startswith(XZ)
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY) if is_xz else zlib.decompressobj()
    payload = unpacker.decompress(packed, size + 1)  # one byte more, to notice that there is more
    if len(payload) != size or not unpacker.eof:
        raise ValueError(f"the arrays do not have {size} bytes")
    arrays, place = {}, 0
    for name, dtype, length in parts:
        arrays[name] = np.frombuffer(payload, dtype, length, place)
        place += dtype.itemsize * length
    return arrays
