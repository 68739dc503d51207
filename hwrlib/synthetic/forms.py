"""Crops of school forms: what is printed on them, and where the name and other handwriting are written.

There are six kinds of crop, with sizes measured on real ones: the name alone; the name below or beside a printed `NOM` or
`PRENOM`; and crops with fragments at their edges: printed words, a time stamp, handwriting from the fields above and
below. The forms had a box for each letter, in a colour that the scanner removes; only the even pitch remains.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Kind(NamedTuple):
    """A kind of crop; lengths in pixels. Of several texts separated by `|`, one is drawn at random."""

    fraction: float  # of all crops
    width: int
    heights: tuple[int, int]  # range to draw from, end excluded
    label: str  # printed with its lower left corner at the anchor, which may be outside the crop
    xs: tuple[float, float]  # ranges to draw the anchor's x and y from
    ys: tuple[float, float]
    name: tuple[float, float]  # from the anchor to the centre of the first letter's box, on the baseline
    letter: float  # height of a capital
    pitch: float  # distance from box to box
    bold: bool = False  # bold print; such forms have a time stamp along the left edge
    prints: tuple[tuple[str, float, float], ...] = ()  # other printed texts, with their offsets from the anchor
    writings: tuple[tuple[str, float, float], ...] = ()  # other handwritten texts, with their offsets


_CODES = "0482917L|0751360L|0936254R|0134078B|0620845T|0319726Y"
_DATES = "12052003|30112004|07081999|26041998|19032006|14102005"
_NAMES = "MARIE|LUCAS|EMMA|THOMAS|CLARA|LOUIS|ENZO|JULIE"
_STAMPS = "10:37:52|14:26:08|09:41:35|16:53:19|11:08:47|08:24:56"
KINDS = (  # fraction, width, heights, label, xs, ys, name, letter, pitch
    Kind(0.28, 324, (44, 45), "", (12, 19), (27, 32), (0, 0), 12.8, 17.7),
    Kind(0.21, 284, (31, 32), "NOM|PRENOM", (15, 24), (-4, 4), (5, 23), 11.8, 15.3),
    Kind(0.08, 284, (50, 51), "NOM", (28, 38), (18, 23), (4, 22), 11.5, 15.3,
         prints=(("CODE UAI / RNE|", 0, -17),), writings=((_CODES, 102, -15),)),
    Kind(0.09, 284, (62, 71), "PRENOM", (28, 38), (12, 18), (4, 37), 11.2, 15.3,
         prints=(("DATE DE NAISSANCE", 0, 55), ("CLASSE", 138, 55))),
    Kind(0.17, 388, (36, 37), "NOM :", (-4, 14), (19, 30), (86, 1), 12.6, 17.9, bold=True,
         prints=(("CODE RNE / UAI :", -2, -22),), writings=((_CODES, 124, -20), (_NAMES, 86, 25))),
    Kind(0.17, 388, (18, 35), "PRENOM :", (-3, 14), (13, 17), (85, 1), 12.8, 17.9, bold=True,
         prints=(("NE(E) LE :", 0, 22), ("CLASSE :     6eme", 238, 21)), writings=((_DATES, 100, 24),)),
)  # fmt: skip
_CUMULATIVE = np.cumsum([kind.fraction for kind in KINDS])


class Writing(NamedTuple):
    """A line to write, in pixels: x is the centre of the first letter's box, pitch the distance to the next box."""

    text: str
    x: float
    baseline: float
    height: float
    pitch: float


class Form(NamedTuple):
    """One crop: its size, printed ink with the x and y of its upper left corner, and the lines to write, the name first."""

    width: int
    height: int
    prints: list[tuple[np.ndarray, float, float]]
    lines: list[Writing]


def draw_form(text: str, rng: np.random.Generator) -> Form:
    """Draw a form of a random kind, on which a name can be written.

    Args:
        text: the name.
        rng: decides the kind of form and where everything is.
    Returns:
        The form.
    """
    kind = KINDS[np.searchsorted(_CUMULATIVE, rng.random() * _CUMULATIVE[-1])]
    height = int(rng.integers(*kind.heights))
    x, y = rng.uniform(*kind.xs), rng.uniform(*kind.ys)
    prints, lines = [], []
    for texts, dx, dy in ((kind.label, 0, 0), *kind.prints):
        prints.append((print_text(_choose(texts, rng), kind.bold), x + dx, y + dy - PRINT_HEIGHT))
    if kind.bold and rng.random() < 0.8:
        prints.append((print_text(_choose(_STAMPS, rng), True, rotated=True), x - 4, rng.uniform(-40, height)))
    for texts, dx, dy in ((text, *kind.name), *kind.writings):
        baseline = y + dy + rng.normal(0, 1.2)
        if 0 < baseline < height + kind.letter:  # partly visible
            lines.append(Writing(_choose(texts, rng), x + dx + rng.normal(0, 1.8), baseline, kind.letter, kind.pitch))
    return Form(kind.width, height, prints, lines)


def _choose(texts: str, rng: np.random.Generator) -> str:
    options = texts.split("|")
    return options[rng.integers(len(options))]


PRINT_HEIGHT = 9.4  # px, height of a printed capital


@cache
def print_text(text: str, bold: bool, rotated: bool = False) -> np.ndarray:
    """Print a text as ink (h, w) uint8; `rotated` text reads upwards."""
    scale = 4  # printed larger and scaled down
    font = ImageFont.load_default(round(PRINT_HEIGHT * scale / 0.7))  # a capital has 0.7 of the font size
    image = Image.new("L", (round(font.getlength(text)) + scale, round(PRINT_HEIGHT * scale * 1.35)))
    ImageDraw.Draw(image).text((0, PRINT_HEIGHT * scale), text, 255, font, anchor="ls", stroke_width=int(bold))
    ink = cv2.resize(np.asarray(image), None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return np.rot90(ink).copy() if rotated else ink


def paste(ink: np.ndarray, part: np.ndarray, x: float, y: float) -> None:
    """Add printed text to the ink (H, W) of a crop in place, clipped at the edges."""
    x, y, (h, w) = round(x), round(y), part.shape
    target = ink[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)]
    np.maximum(target, part[max(0, -y) :, max(0, -x) :][: target.shape[0], : target.shape[1]], out=target)
