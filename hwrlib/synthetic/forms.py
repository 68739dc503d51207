"""Crops of school forms: what is printed on them, and where a name and other handwriting go.

Six kinds of crop, measured on real ones: the name alone; under or beside a printed `NOM` or `PRENOM`; with the
fragments that cutting leaves at the edges: printed words, a time stamp, handwriting of the fields above and below. The
forms had a box for each letter, in a colour that the scanner drops: what remains of it is the even pitch.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Kind(NamedTuple):
    """A kind of crop, in pixels. Where texts are separated by `|`, one of them is drawn."""

    share: float  # of the crops
    width: int
    heights: tuple[int, int]  # range to draw from, the end excluded
    label: str  # printed at the anchor, its lower left corner there; the anchor may lie outside the crop
    xs: tuple[float, float]  # ranges to draw the anchor from
    ys: tuple[float, float]
    name: tuple[float, float]  # from the anchor to the middle of the first letter's box, on the base line
    letter: float  # height of a capital
    pitch: float  # way from box to box
    bold: bool = False  # whether the print is; such forms carry a time stamp along the left edge
    prints: tuple[tuple[str, float, float], ...] = ()  # other printed texts, each with its way from the anchor
    writings: tuple[tuple[str, float, float], ...] = ()  # other handwritten texts, likewise


_CODES = "0482917L|0751360L|0936254R|0134078B|0620845T|0319726Y"
_DATES = "12052003|30112004|07081999|26041998|19032006|14102005"
_NAMES = "MARIE|LUCAS|EMMA|THOMAS|CLARA|LOUIS|ENZO|JULIE"
_STAMPS = "10:37:52|14:26:08|09:41:35|16:53:19|11:08:47|08:24:56"
KINDS = (  # share, width, heights, label, xs, ys, name, letter, pitch
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
_SHARES = np.cumsum([kind.share for kind in KINDS])


class Line(NamedTuple):
    """A line to be written; x is the middle of the first letter's box, pitch the way to the next one, all in pixels."""

    text: str
    x: float
    baseline: float
    height: float
    pitch: float


class Form(NamedTuple):
    """One crop: its size, printed ink with the place of its upper left corner, and lines to write, the name first."""

    width: int
    height: int
    prints: list[tuple[np.ndarray, float, float]]
    lines: list[Line]


def draw_form(text: str, rng: np.random.Generator) -> Form:
    """A form of random kind, ready for a name to be written on it.

    Args:
        text: the name.
        rng: the kind of form and where things stand on it.
    Returns:
        The form.
    """
    kind = KINDS[np.searchsorted(_SHARES, rng.random() * _SHARES[-1])]
    height = int(rng.integers(*kind.heights))
    x, y = rng.uniform(*kind.xs), rng.uniform(*kind.ys)
    prints, lines = [], []
    for texts, dx, dy in ((kind.label, 0, 0), *kind.prints):
        prints.append((printed(_one_of(texts, rng), kind.bold), x + dx, y + dy - PRINT_HEIGHT))
    if kind.bold and rng.random() < 0.8:
        prints.append((printed(_one_of(_STAMPS, rng), True, turned=True), x - 4, rng.uniform(-40, height)))
    for texts, dx, dy in ((text, *kind.name), *kind.writings):
        baseline = y + dy + rng.normal(0, 1.2)
        if 0 < baseline < height + kind.letter:  # some of it is seen
            lines.append(Line(_one_of(texts, rng), x + dx + rng.normal(0, 1.8), baseline, kind.letter, kind.pitch))
    return Form(kind.width, height, prints, lines)


def _one_of(texts: str, rng: np.random.Generator) -> str:
    options = texts.split("|")
    return options[rng.integers(len(options))]


PRINT_HEIGHT = 9.4  # px, of a printed capital


@cache
def printed(text: str, bold: bool, turned: bool = False) -> np.ndarray:
    """Printed text as ink (h, w) uint8, read upwards if `turned`."""
    scale = 4  # printed larger and averaged down
    font = ImageFont.load_default(round(PRINT_HEIGHT * scale / 0.7))  # a capital is 0.7 of the font's size
    image = Image.new("L", (round(font.getlength(text)) + scale, round(PRINT_HEIGHT * scale * 1.35)))
    ImageDraw.Draw(image).text((0, PRINT_HEIGHT * scale), text, 255, font, anchor="ls", stroke_width=int(bold))
    ink = cv2.resize(np.asarray(image), None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return np.rot90(ink).copy() if turned else ink


def paste(ink: np.ndarray, part: np.ndarray, x: float, y: float) -> None:
    """Add printed text to the ink (H, W) of a crop, in place, cut at the edges."""
    x, y, (h, w) = round(x), round(y), part.shape
    place = ink[max(0, y):max(0, y + h), max(0, x):max(0, x + w)]
    np.maximum(place, part[max(0, -y):, max(0, -x):][:place.shape[0], :place.shape[1]], out=place)
