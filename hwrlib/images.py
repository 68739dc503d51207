"""Images on their way to the model, the same in training and in reading: `normalise` each, `pad` a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from hwrlib.decode import to_grey

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike

MAX_HEIGHT, MAX_WIDTH = 1_000, 100_000  # px of a normalised line: more would be an error, or an attack
UNEVEN = 0.85  # of the lightest paper; shadows are removed if some of the paper is darker than this
LIT_SIZE = 64  # px, least side of the image on which the light is estimated
MIN_CONTRAST = 24  # grey levels between paper and ink; less is treated as an empty image
INK_LEVEL = 96  # of 255; a row or column without a pixel of this much ink is margin
MARGIN = 3  # px of paper left around the ink before scaling
WIDTH_STEP = 32  # px; batches come in few different widths, which convolution libraries reward
VALLEY = 0.5  # of the darkest row; a dip this deep separates two lines of writing
MIN_ROW = 4  # of 255, mean ink of a row; less is dirt
MIN_PIECES = 3  # pieces cut off by an edge before they are treated as a neighbouring line


@dataclass(frozen=True)
class Normalisation:
    """How images become model input; saved in every checkpoint, so that reading prepares images as training did.

    Args:
        height: px of the result.
        max_width, min_width: px; a wider line is squeezed, a narrower one padded with paper.
        max_stretch: largest ratio of vertical to horizontal scale, for lines that are squeezed to `max_width`.
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
    paper = _level(histogram, 0.5)
    if paper < 128 and histogram[paper + MIN_CONTRAST + 1 :].any() and _is_light_on_dark(grey):
        grey, histogram, paper = 255 - grey, histogram[::-1], 255 - paper
    if (even := _evenly_lit(grey)) is not None:
        grey, histogram, paper = even, np.bincount(even.ravel(), minlength=256), 255
    darkest = _level(histogram, 0.005)
    if paper - darkest < MIN_CONTRAST:
        darkest = min(int(grey.min()), paper)  # a few faint strokes may remain
    contrast = max(paper - darkest, MIN_CONTRAST)
    ink_of_grey = np.clip((paper - np.arange(256)) * (255 / contrast), 0, 255).astype(np.uint8)
    return cv2.LUT(grey, ink_of_grey)


def _level(histogram: np.ndarray, fraction: float) -> int:
    """The grey level that this fraction of the pixels do not exceed."""
    return int(np.searchsorted(np.cumsum(histogram) / histogram.sum(), fraction))


def _is_light_on_dark(grey: np.ndarray) -> bool:
    """True if the pixels lighter than their surroundings differ more from them, in total, than the darker ones."""
    small, size = _small(grey)
    difference = small.astype(int) - cv2.medianBlur(small, size)
    return difference.clip(min=0).sum() > -difference.clip(max=0).sum()


def _small(grey: np.ndarray) -> tuple[np.ndarray, int]:
    """The image at the size at which light is estimated, and an odd kernel size that exceeds any stroke's width there."""
    height, width = grey.shape
    step = max(min(height, width) // LIT_SIZE, 1)
    small = cv2.resize(grey, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)
    return small, max(min(small.shape) // 3, 9) | 1


def _evenly_lit(grey: np.ndarray) -> np.ndarray | None:
    """Dark ink on white paper, without the shadows and the uneven light of a photo; None if the light is even already."""
    height, width = grey.shape
    small, size = _small(grey)
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    paper = cv2.GaussianBlur(paper, (0, 0), size / 4)
    darkest, lightest = np.percentile(paper, (2, 98))
    if darkest > UNEVEN * lightest:
        return None
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
    for rows in (ink, ink[::-1]):  # views of `ink`, rows counted from the top and from the bottom
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
    """True if normalised ink (H, W) lies in two rows with paper between them, as in a crop of two lines of writing.

    Judged in pieces about as wide as the line is high, because lines slope. Of 849 single lines of the French validation
    split, 4 are taken for two; of 751 crops of two lines, 650 are.
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
