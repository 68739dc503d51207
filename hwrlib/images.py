"""Images on their way to the model, the same in training and in reading: `normalise` each one, `pad` a batch."""

from __future__ import annotations

import errno
import io
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image

from hwrlib.files import printable

if TYPE_CHECKING:
    from torch import Tensor

    ImageLike = str | os.PathLike | bytes | IO[bytes] | Image.Image | np.ndarray | Tensor

MAX_HEIGHT, MAX_WIDTH = 1_000, 100_000  # px of a normalised line: more would be an error, or an attack
MAX_PIXELS = 50_000_000  # a larger image is rejected: no line of writing needs it, but a decompression bomb does
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")  # none that runs another program, as EPS does
HOT = 4  # times the level that 99.9 % of the pixels do not exceed: pixels above are faults of the sensor
OVERSHOOT = 1.5  # floats up to here are fractions of white, which rounding and interpolation let exceed 1 a little
LIGHT = 192  # grey level; if all that is not transparent is lighter, it is white ink and not paper
UNEVEN = 0.85  # of the lightest paper; if some of the paper is darker, light and shadow are taken out
LIT_SIZE = 64  # px, least side of the image on which the light is looked at
MIN_CONTRAST = 24  # grey levels between paper and ink; less is treated as an empty image
INK_LEVEL = 96  # of 255; a row or column without a pixel of this much ink is margin
UPRIGHT = {  # EXIF orientation -> what turns the image as it was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MARGIN = 3  # px of paper left around the ink before scaling
WIDTH_STEP = 32  # px; batches come in few different widths, which convolution libraries reward
VALLEY = 0.5  # of the darkest row; so much lighter rows between two dark ones part two lines of writing
MIN_ROW = 4  # of 255, mean ink of a row; less is dirt
MIN_PIECES = 3  # pieces cut off by an edge before they are treated as a neighbouring line


@dataclass(frozen=True)
class Normalisation:
    """How images become model input; saved in every checkpoint, so that reading prepares images as training did.

    Args:
        height: px of the result.
        max_width, min_width: px; a wider line is squeezed, a narrower one padded with paper.
        max_stretch: if a line is squeezed to `max_width`, its height may be scaled this much more than its width.
    Raises:
        ValueError: a size is not an integer from 1 to its limit, or they do not fit together.
    """

    height: int = 40
    max_width: int = 256
    min_width: int = 32
    max_stretch: float = 1.7

    def __post_init__(self):
        sizes = {"height": MAX_HEIGHT, "max_width": MAX_WIDTH, "min_width": MAX_WIDTH}
        for name, limit in sizes.items():
            if type(value := getattr(self, name)) is not int or not 1 <= value <= limit:
                raise ValueError(f"{name} must be an integer from 1 to {limit:,} px, not {value!r}")
        if self.min_width > self.max_width:
            raise ValueError(f"min_width {self.min_width} exceeds max_width {self.max_width}")
        if type(self.max_stretch) not in (int, float) or not 1 <= self.max_stretch < math.inf:
            raise ValueError(f"max_stretch must be a number from 1, not {self.max_stretch!r}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Normalised(NamedTuple):
    """A normalised image and the way back to the pixels of the original."""

    ink: np.ndarray  # (height, W) uint8, 0 is paper, 255 full ink
    left: float  # px of the original at which column 0 begins
    scale: float  # columns of `ink` per px of the original
    right: float  # px of the original at which the image ends; what follows in `ink` is padding


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

    A decoder that lacks memory all the same asked for more than any image needs, as a damaged file makes it do.
    """
    number = getattr(error, "errno", None)
    if number in (errno.EMFILE, errno.ENFILE):
        return True
    if not isinstance(error, MemoryError) and number != errno.ENOMEM:
        return False
    try:
        return np.empty(4 * MAX_PIXELS, np.uint8) is None
    except MemoryError:
        return True


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
    image.load()  # decoded here: NumPy takes some of the errors of a decoder for an image without pixels
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
    """The image as its EXIF orientation says it is to be seen.

    Pillow's own `exif_transpose` also writes the other tags anew, and fails if one of them is damaged.
    """
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


def normalise(image: ImageLike, normalisation: Normalisation) -> Normalised:
    """Ink on paper at the model's height.

    The contrast is stretched, remains of the lines above and below are erased, and blank margins are cut off, so that the
    writing fills the height; the aspect ratio is kept as far as the width allows.

    Args:
        image: whatever `to_grey` takes.
        normalisation: the sizes.
    Returns:
        The image as ink and its place in the original.
    Raises:
        ValueError: the image cannot be read.
    """
    ink = erase_neighbours(_ink(to_grey(image)))
    top, bottom, left, right = _inked_box(ink)
    ink = ink[top:bottom, left:right]
    height, width = ink.shape
    scale = min(normalisation.height / height, normalisation.max_width / width)
    new_width = min(max(round(width * scale), 1), normalisation.max_width)
    new_height = min(max(round(height * scale * normalisation.max_stretch), 1), normalisation.height)
    # Averaging is right for an image that shrinks; for one that grows it would only repeat pixels.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(ink, (new_width, new_height), interpolation=method)
    canvas = np.zeros((normalisation.height, max(new_width, normalisation.min_width)), np.uint8)
    offset = (normalisation.height - new_height) // 2
    canvas[offset : offset + new_height, :new_width] = resized
    return Normalised(canvas, float(left), new_width / width, float(right))


def _ink(grey: np.ndarray) -> np.ndarray:
    """0 for paper to 255 for the darkest strokes; white writing on black is inverted first."""
    histogram = np.bincount(grey.ravel()[:: max(grey.size // 50_000, 1)], minlength=256)
    cumulative = np.cumsum(histogram) / histogram.sum()
    paper = int(np.searchsorted(cumulative, 0.5))
    if paper < 128 and cumulative[255] - cumulative[min(paper + MIN_CONTRAST, 255)] > 0 and _is_light_on_dark(grey):
        grey, cumulative, paper = 255 - grey, 1 - np.r_[0, cumulative[:-1]][::-1], 255 - paper
    if (lit := _evenly_lit(grey)) is not grey:
        grey, paper = lit, 255
        cumulative = np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size
    darkest = int(np.searchsorted(cumulative, 0.005))
    contrast = max(paper - darkest, 0)
    if contrast < MIN_CONTRAST:
        darkest = min(int(grey.min()), paper)  # a few faint strokes may remain
        contrast = max(paper - darkest, MIN_CONTRAST)
    ink_of_grey = np.clip((paper - np.arange(256)) * (255 / contrast), 0, 255).astype(np.uint8)
    return cv2.LUT(grey, ink_of_grey)


def _is_light_on_dark(grey: np.ndarray) -> bool:
    """True if more stands out from its surroundings by being light than by being dark."""
    small, size = _small(grey)
    difference = small.astype(int) - cv2.medianBlur(small, size)
    return difference.clip(min=0).sum() > -difference.clip(max=0).sum()


def _small(grey: np.ndarray) -> tuple[np.ndarray, int]:
    """The image at a size at which the light is looked at, and the px there that every stroke is thinner than."""
    height, width = grey.shape
    step = max(min(height, width) // LIT_SIZE, 1)
    small = cv2.resize(grey, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    return small, max(min(small.shape) // 3, 9) | 1


def _evenly_lit(grey: np.ndarray) -> np.ndarray:
    """Dark ink on white paper, without the shadows and the slope of light of a photo; an evenly lit image stays as it is."""
    height, width = grey.shape
    small, size = _small(grey)
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    paper = cv2.GaussianBlur(paper, (0, 0), size / 4)
    darkest, lightest = np.percentile(paper, (2, 98))
    if darkest > UNEVEN * lightest:
        return grey
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.divide(grey, np.maximum(paper, 1), scale=255)


def erase_neighbours(ink: np.ndarray) -> np.ndarray:
    """Ink without the remains of other lines of writing or print at the upper and the lower edge.

    Such a line shows as several pieces of ink that touch the edge, end within a quarter of the height, and make up most of
    the ink in their rows. A full stop that touches the edge beside the letters of its own line does not.

    Args:
        ink: (H, W) uint8, 0 is paper.
    Returns:
        (H, W) uint8, a new array.
    """
    ink = ink.copy()
    for rows in (ink, ink[::-1]):  # from the top, from the bottom
        outer = (rows[: len(rows) // 4 + 1] >= INK_LEVEL).astype(np.uint8)
        if int(outer[0, 0]) + np.count_nonzero(outer[0, 1:] > outer[0, :-1]) < MIN_PIECES:
            continue
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(outer)
        starts, ends = boxes[:, cv2.CC_STAT_TOP], boxes[:, cv2.CC_STAT_TOP] + boxes[:, cv2.CC_STAT_HEIGHT]
        cut = (starts == 0) & (ends < len(outer))
        cut[0] = False  # label 0 is the paper
        if np.count_nonzero(cut) < MIN_PIECES:
            continue
        depth = ends[cut].max()
        pieces = cut[labels[:depth]].astype(np.uint8)
        if 2 * np.count_nonzero(pieces) > np.count_nonzero(outer[:depth]):
            with_grey_rim = cv2.dilate(pieces, np.ones((3, 3), np.uint8)) > 0
            rows[:depth][with_grey_rim] = 0
    return ink


def holds_two_lines(ink: np.ndarray) -> bool:
    """True if the ink of an image lies in two rows with paper between them: a crop of two lines of writing, it seems.

    Looked at in pieces about as wide as the line is high, because lines slope. Of 849 single lines of the French validation
    split 4 are taken for two; of 751 crops of two lines, 650.

    Args:
        ink: (H, W) uint8, normalised.
    """
    height, width = ink.shape
    valleys = []
    for piece in np.array_split(ink, min(max(width // height, 1), 8), axis=1):
        rows = np.convolve(piece.mean(axis=1), np.ones(5) / 5, "same")
        above, below = np.maximum.accumulate(rows), np.maximum.accumulate(rows[::-1])[::-1]
        depth = (np.minimum(above, below) - rows)[height // 4 : height - height // 4].max(initial=0)
        if rows.max() >= MIN_ROW:
            valleys.append(depth / rows.max())
    return len(valleys) > 0 and float(np.median(valleys)) > VALLEY


def _inked_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the ink with a small margin; the whole image if there is no ink."""
    rows = np.flatnonzero(ink.max(axis=1) >= INK_LEVEL)
    columns = np.flatnonzero(ink.max(axis=0) >= INK_LEVEL)
    if len(rows) == 0:
        return 0, ink.shape[0], 0, ink.shape[1]
    return (
        max(rows[0] - MARGIN, 0),
        min(rows[-1] + 1 + MARGIN, ink.shape[0]),
        max(columns[0] - MARGIN, 0),
        min(columns[-1] + 1 + MARGIN, ink.shape[1]),
    )


def pad(lines: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lines of one height as one batch, padded with paper to the width of the widest, rounded up to 32 px.

    Args:
        lines: N of (H, W) uint8 ink, 0 is paper; widths differ.
    Returns:
        images (N, 1, H, W) uint8, and image_widths (N,) int64: the px of each that are not padding.
    Raises:
        ValueError: the heights differ.
    """
    heights = sorted({len(ink) for ink in lines})
    if len(heights) > 1:
        raise ValueError(f"images of different heights {heights} in one batch; normalise them to one height")
    widths = np.array([ink.shape[1] for ink in lines], dtype=np.int64)
    images = np.zeros((len(lines), 1, heights[0], -(-int(widths.max()) // WIDTH_STEP) * WIDTH_STEP), np.uint8)
    for image, ink in zip(images, lines):
        image[0, :, : ink.shape[1]] = ink
    return images, widths
