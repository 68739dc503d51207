"""Any image as grey levels: a file, its bytes, a PIL image, an array or a tensor; 1 to 32 bits, any EXIF orientation."""

from __future__ import annotations

import errno
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import ExifTags, Image

if TYPE_CHECKING:
    from torch import Tensor

    ImageLike = str | os.PathLike | bytes | IO[bytes] | Image.Image | np.ndarray | Tensor

MAX_PIXELS = 50_000_000  # a larger image is rejected: no line of writing needs it, but a decompression bomb does
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")  # not EPS, whose decoder runs another program
HOT = 4  # times the 99.9th percentile; levels above are faults of the sensor
OVERSHOOT = 1.5  # floats up to here are taken as fractions of white: interpolation lets them exceed 1 a little
LIGHT = 192  # grey level; if all that is not transparent is lighter, it is white ink and not paper
UPRIGHT = {  # EXIF orientation -> the operation that turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def printable(name: object) -> str:
    """A file name for a message or a table: bytes that are not UTF-8, which no file or screen accepts, as escapes."""
    return str(name).encode(errors="backslashreplace").decode()


def is_single(images: object) -> bool:
    """True for what `to_grey` takes as one image, and not for a sequence of images."""
    types = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray)
    return isinstance(images, types) or hasattr(images, "read") or hasattr(images, "detach")


def to_grey(image: ImageLike) -> np.ndarray:
    """Any image as (H, W) uint8 greyscale: EXIF rotation applied, transparency laid on white.

    What is black and what is white follows from the kind of numbers. 8 bits: 0 and 255. More bits, or floats in a file: 0
    and the largest level; levels that all lie within 0 ... 255 stay as they are. Floats up to 1: 0 and 1. Booleans, and
    arrays of the integers 0 and 1: black and white. Numbers outside the range that their kind allows are an error.

    Args:
        image: a path, an open binary file or the bytes of one, a PIL image, an array (H, W), (H, W, 3) or (H, W, 4), or
            a tensor of such a shape or with channels first.
    Raises:
        ValueError: the file is not a readable image, or the array has another shape or range; the message names it.
        MemoryError, OSError: this process lacks memory or has too many files open, whatever the image.
    """
    if isinstance(image, Image.Image):
        with _named(getattr(image, "filename", "") or "<image>"):
            return _pil_to_grey(image)
    if isinstance(image, (str, os.PathLike, bytes, bytearray)) or hasattr(image, "read"):
        return _file_to_grey(image)
    if hasattr(image, "detach"):  # a tensor; torch itself is not imported here
        image = image.detach().cpu()
        image = (image.float() if image.is_floating_point() else image).numpy()  # NumPy has no bfloat16
        if image.ndim == 3 and image.shape[0] in (1, 3, 4):
            image = np.moveaxis(image, 0, 2)
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{type(image).__name__!r} is not an image; give a path, a file, a PIL image, an array or a tensor")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim not in (2, 3) or image.size == 0 or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ValueError(f"an array of shape {image.shape} is not an image; give (H, W), (H, W, 3) or (H, W, 4)")
    return _pil_to_grey(Image.fromarray(_to_uint8(image)))


def _file_to_grey(source: str | os.PathLike | bytes | IO[bytes]) -> np.ndarray:
    is_path = isinstance(source, (str, os.PathLike))
    with _named(os.fspath(source) if is_path else getattr(source, "name", f"<{type(source).__name__}>")):
        if is_path and not stat.S_ISREG(os.stat(source).st_mode):
            raise OSError("a folder, a pipe or a device")  # opening a named pipe would wait for ever
        file = io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source
        with Image.open(file, formats=FORMATS) as opened:
            if opened.format == "JPEG":
                opened.draft("L", None)  # decode only the luminance
            return _pil_to_grey(opened)


@contextmanager
def _named(name: object) -> Iterator[None]:
    """Turn whatever a decoder raises into a ValueError that names the image.

    Raises:
        MemoryError, OSError: the fault is not the image's; the process lacks memory, or has too many files open.
    """
    name = printable(name)
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{name}: there is no such file") from None
    except Exception as error:  # decoders fail in every way there is: struct.error, TypeError, MemoryError, ...
        if _lacks_resources(error):
            raise
        reason = printable(str(error) or type(error).__name__)
        raise ValueError(f"{name}: not a readable image ({reason}); convert it to PNG or JPEG, or exclude it") from error


def _lacks_resources(error: Exception) -> bool:
    """True if this process cannot open any more files, or has no memory for the largest image either.

    If that memory can be had, the decoder's MemoryError comes from a damaged file that asks for too much.
    """
    number = getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE):
        return True
    if not isinstance(error, MemoryError) and number != errno.ENOMEM:
        return False
    try:
        np.empty(4 * MAX_PIXELS, np.uint8)  # as the largest image needs
    except MemoryError:
        return True
    return False


def _scaled(levels: np.ndarray) -> np.ndarray:
    """Grey levels of 16 bits and more, or floats, as uint8: scaled down if they exceed 255, up if they are fractions.

    White is the largest level, unless a few hot pixels are far above all others.
    """
    low, white = float(levels.min()), float(levels.max())
    if not (low >= -white / 10 and white < math.inf):  # NaN fails, too; interpolation goes below 0 a little
        raise ValueError(f"grey levels must be finite numbers from 0; these are from {low:g} to {white:g}")
    nearly_all = float(np.percentile(levels, 99.9))
    if white > HOT * nearly_all > 0:
        white = nearly_all
    is_fraction = levels.dtype.kind == "f" and white <= OVERSHOOT
    factor = 255 / max(white, 1 if is_fraction else 255)
    if levels.dtype == np.uint16:  # a table of all levels needs a tenth of the memory
        return (np.arange(65536.0).clip(max=white) * factor).round().astype(np.uint8)[levels]
    return (levels.astype(np.float64).clip(0, white) * factor).round().astype(np.uint8)


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Grey levels in 0 ... 255 of an array of any numbers; see `to_grey`."""
    kind, is_wide = array.dtype.kind, array.dtype.itemsize == 2
    if kind == "b":
        return array * np.uint8(255)
    if kind not in "uif":
        raise ValueError(f"an array of {array.dtype} is not an image; give numbers in 0 ... 255 or floats in 0 ... 1")
    low, high = array.min(), array.max()
    if kind in "ui" and high == 1 and low >= 0:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8:
        return array
    if kind in "ui" and is_wide and low >= 0:
        return _scaled(array.astype(np.uint16))
    if not (low >= 0 and high <= 255):  # NaN fails, too
        raise ValueError(f"an image's values must lie in 0 ... 255, or floats in 0 ... 1; these are from {low} to {high}")
    return (array.clip(max=1) * 255 if kind == "f" and high <= OVERSHOOT else array).round().astype(np.uint8)


def _pil_to_grey(image: Image.Image) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} px exceed the limit of {MAX_PIXELS:,} px")
    if not image.width * image.height:
        raise ValueError(f"{image.width} x {image.height} px: the image is empty")
    image.load()  # here, since np.asarray hides some decoder errors and returns an empty array
    image = _upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        return _scaled(levels.astype(np.uint16) if levels.dtype.itemsize == 2 else levels)  # in this machine's byte order
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = _on_paper(image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA"))
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; Pillow's `exif_transpose` fails on other, damaged tags."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data do not make the picture unreadable
        return image
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _on_paper(image: Image.Image) -> Image.Image:
    """An RGBA image on white; on black if it is white ink on nothing."""
    pixels = np.asarray(image)
    seen = pixels[..., 3] > pixels[..., 3].max() // 2
    # Ink covers less than half of an image: more is paper, in a scan with transparent corners for instance.
    is_white_ink = 0 < 2 * np.count_nonzero(seen) < seen.size and pixels[seen][:, :3].min() > LIGHT
    return Image.alpha_composite(Image.new("RGBA", image.size, "black" if is_white_ink else "white"), image)
