"""Crops of school forms: what is printed on them, and where a name and other handwriting go.

Six kinds of crop, measured on real ones: the name alone; under or beside a printed `NOM` or `PRENOM`; with the
fragments that cutting leaves at the edges: printed words, a time stamp, handwritten digits of the fields above and
below. The forms had a box for each letter, in a colour that the scanner drops: what remains of it is the even pitch.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont


class Print(NamedTuple):
    """Printed text on a form: ink (h, w) uint8, and where its upper left corner stands; may lie partly outside."""

    ink: np.ndarray
    x: float
    y: float


class Line(NamedTuple):
    """A line to be written; x is the middle of the first letter's box, pitch the way to the next one, all in pixels."""

    text: str
    x: float
    baseline: float
    height: float
    pitch: float


class Form(NamedTuple):
    """A crop of a form: its size, what is printed on it, where the name goes, and other handwriting in it."""

    width: int
    height: int
    prints: list[Print]
    name: Line
    others: list[Line]


@cache
def printed(text: str, height: float, bold: bool = False, turned: bool = False) -> np.ndarray:
    """Printed text as ink (h, w) uint8, its capitals `height` pixels high, read upwards if `turned`."""
    scale = 4
    font = ImageFont.load_default(round(height * scale / 0.7))  # a capital is 0.7 of the font's size
    stroke = round(height * scale * 0.035) if bold else 0
    box = font.getbbox(text, stroke_width=stroke)
    image = Image.new("L", (box[2] + scale, round(height * scale * 1.35)))
    ImageDraw.Draw(image).text((0, height * scale), text, 255, font, anchor="ls", stroke_width=stroke)
    ink = cv2.resize(np.asarray(image), None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return np.rot90(ink).copy() if turned else ink


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, count))


def _stamp(rng: np.random.Generator, x: float, bottom: float) -> list[Print]:
    """The fragment of a time stamp, printed upwards along the left edge of a form, and the frame's line beside it."""
    prints = [Print(printed(STAMPS[rng.integers(len(STAMPS))], 8.6, True, True), x - 2 + 4 * rng.random(), bottom)]
    if rng.random() < 0.5:
        prints.append(Print(_FRAME, x - 3 - 5 * rng.random(), -2))
    return prints


STAMPS = tuple(f"{i * 37 % 100:02d}:{i * 23 % 60:02d}:{i * 41 % 60:02d}" for i in range(60))
_FRAME = np.full((80, 1), 255, np.uint8)


def _plain(rng: np.random.Generator, text: str) -> Form:
    """324 x 44: nothing but the name."""
    name = Line(text, rng.normal(15.5, 1.8), rng.normal(29.5, 1.5), 12.8, 17.7)
    return Form(324, 44, [], name, [])


def _small_cut(rng: np.random.Generator, text: str) -> Form:
    """284 x 31: the label above cut off, accents of the next field below."""
    label = "NOM" if rng.random() < 0.5 else "PRENOM"
    prints = [Print(printed(label, 9.6), rng.uniform(14, 24), rng.uniform(-14, -5))]
    name = Line(text, rng.normal(25.5, 2), rng.normal(23, 1.3), 11.8, 15.3)
    others = [Line("É", rng.uniform(30, 70), 45, 11.8, 15.3)] if rng.random() < 0.25 else []
    return Form(284, 31, prints, name, others)


def _small_nom(rng: np.random.Generator, text: str) -> Form:
    """284 x 50: `NOM` above the name, the code of the school cut off above."""
    x, y = rng.normal(33, 3), rng.uniform(8, 13)
    prints = [Print(printed("NOM", 9.6), x, y)]
    if rng.random() < 0.4:
        prints.append(Print(printed("CODE UAI / RNE", 9.6), x, y - rng.uniform(15, 19)))
    others = [Line(_digits(rng, 7) + "L", rng.uniform(120, 150), y - rng.uniform(3, 9), 11.5, 15.3)]
    return Form(284, 50, prints, Line(text, x + rng.normal(4, 2), y + rng.uniform(30, 34), 11.5, 15.3), others)


def _small_prenom(rng: np.random.Generator, text: str) -> Form:
    """284 x 62-70: `PRENOM` above the name, the heading of the next field below."""
    height = int(rng.integers(62, 71))
    x, y = rng.normal(33, 3), rng.uniform(2, 8)
    below = y + rng.uniform(53, 57)
    prints = [
        Print(printed("PRENOM", 9.6), x, y),
        Print(printed("DATE DE NAISSANCE", 9.6), x, below),
        Print(printed("CLASSE", 9.6), x + 138, below),
    ]
    return Form(284, height, prints, Line(text, x + rng.normal(4, 2), y + rng.uniform(45, 49), 11.2, 15.3), [])


def _wide_nom(rng: np.random.Generator, text: str) -> Form:
    """388 x 36: `NOM :` at the left, the code of the school above or the first name below."""
    x, upper = rng.uniform(-4, 14), rng.random() < 0.2
    base = rng.uniform(18, 22) if upper else rng.uniform(24, 29)
    name = Line(text, x + rng.normal(86, 1.5), base + rng.uniform(0, 3), 12.6, 17.9)
    prints = [Print(printed("NOM :", 9.2, True), x, base - 9.2)]
    prints += _stamp(rng, x - 4, rng.uniform(16, 34)) if rng.random() < 0.6 else []
    if upper:
        others = [Line(_CUT_NAMES[rng.integers(len(_CUT_NAMES))], name.x, base + 24, 12.6, 17.9)]
    else:
        prints.append(Print(printed("CODE RNE / UAI :", 9.2, True), x - 2, base - rng.uniform(29, 34)))
        others = [Line(_digits(rng, 7) + "L", x + 122, base - rng.uniform(18, 24), 12.6, 17.9)]
    return Form(388, 36, prints, name, others)


def _wide_prenom(rng: np.random.Generator, text: str) -> Form:
    """388 x 16-36: `PRENOM :` at the left, often cut low; the date of birth below where there is room."""
    height = int(np.clip(rng.normal(26, 4), 17, 35))
    x, base = rng.uniform(-3, 14), min(rng.uniform(14, 18), height - 2)
    name = Line(text, x + rng.normal(85, 1.5), base + rng.uniform(-0.5, 2.5), 12.8, 17.9)
    prints = [Print(printed("PRENOM :", 9.2, True), x, base - 9.2)]
    prints += _stamp(rng, x - 4, rng.uniform(-20, 4)) if rng.random() < 0.8 else []
    if height < base + 8:
        return Form(388, height, prints, name, [])
    below = base + rng.uniform(20, 24)
    prints.append(Print(printed("NE(E) LE :", 9.2, True), x, below - 9.2))
    prints.append(Print(printed("CLASSE :     6eme", 8.0, True), x + 238, below - 10))
    prints.append(Print(_DOT, x + 289, below - 9))
    return Form(388, height, prints, name, [Line(_digits(rng, 8), x + 100, below + 2, 12.8, 17.9)])


_CUT_NAMES = ("MARIE", "LUCAS", "EMMA", "THOMAS", "CLARA", "LOUIS", "ENZO", "JULIE")  # only the tops of them are seen
_DOT = cv2.circle(np.zeros((9, 9), np.uint8), (4, 4), 3, 255, cv2.FILLED)

# Each form with its share among the crops.
FORMS: dict[Callable[[np.random.Generator, str], Form], float] = {
    _plain: 0.28,
    _small_cut: 0.21,
    _small_nom: 0.08,
    _small_prenom: 0.09,
    _wide_nom: 0.17,
    _wide_prenom: 0.17,
}
_CUMULATED = np.cumsum(list(FORMS.values()))


def draw_form(text: str, rng: np.random.Generator) -> Form:
    """A form of random kind, ready for a name to be written on it.

    Args:
        text: the name.
        rng: the kind of form and where things stand on it.
    Returns:
        The form.
    """
    kind = int(np.searchsorted(_CUMULATED, rng.random() * _CUMULATED[-1]))
    return list(FORMS)[kind](rng, text)


def paste(ink: np.ndarray, item: Print) -> None:
    """Add printed text to the ink (H, W) of a crop, in place, cut at the edges."""
    x, y, (h, w) = round(item.x), round(item.y), item.ink.shape
    place = ink[max(0, y):max(0, y + h), max(0, x):max(0, x + w)]
    part = item.ink[max(0, -y):, max(0, -x):][:place.shape[0], :place.shape[1]]
    np.maximum(place, part, out=place)
