"""Letters as pen strokes: fonts reduced to the path of a pen, and a school alphabet drawn as strokes.

A font describes a letter by its outline, a pen by its path. A path can be drawn with a pen of any width, so every font is
converted to paths, by classic image processing:

1. All characters of the font are printed large on one strip.
2. The strip is *thinned*: border pixels are removed until lines one pixel wide remain (the skeleton).
3. The contour of the skeleton, which runs along every line and back, is the path of the pen.
4. The path is smoothed, and scaled so that a capital has height 1 and stands on the line y = 0.

The school alphabet adds letter shapes that children write on French forms and that the fonts lack.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hwrlib.common.extras import require

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-'"
CAPITAL = 40  # px, height of a printed capital: large enough for a clean skeleton, small enough for fast thinning
CELL = 100  # px, side of each character's square on the strip
ORIGIN = (25, 65)  # px, start of the baseline in a character's square
PIXELS_PER_POINT = 5  # along a font's path: eight points per height of a capital

# Name of the alphabet -> package with the font, and the file in it.
FONTS = {
    "caveat": ("fontpkg_caveat", "Caveat[wght].ttf"),
    "dancing-script": ("fontpkg_dancing_script", "DancingScript[wght].ttf"),
    "delius": ("fontpkg_delius", "Delius-Regular.ttf"),
    "indie-flower": ("fontpkg_indie_flower", "IndieFlower-Regular.ttf"),
    "intuitive": ("font_intuitive", "Intuitive.ttf"),
    "kalam": ("fontpkg_kalam", "Kalam-Light.ttf"),
    "shadows-into-light": ("fontpkg_shadows_into_light", "ShadowsIntoLight.ttf"),
}
SCHOOL = ("school-0", "school-1", "school-2", "school-3")  # variants of our own alphabet, always available


class Glyph(NamedTuple):
    """One character as pen strokes, in heights of a capital; x points right from the start of the character, y up."""

    points: np.ndarray  # (P, 2), the points of all strokes, stroke by stroke
    lengths: tuple[int, ...]  # number of points of each stroke; they sum to P
    advance: float  # from the start of this character to the start of the next


Alphabet = dict[str, Glyph]


def available_alphabets() -> list[str]:
    """Names of the alphabets that are installed, in a fixed order."""
    return [name for name in FONTS if _font_file(name)] + list(SCHOOL)


@cache
def load_alphabet(name: str) -> Alphabet:
    """Load one alphabet as strokes (about 50 ms per font, once per process).

    Args:
        name: a key of `FONTS` or one of `SCHOOL`.
    Returns:
        A `Glyph` for each of `CHARACTERS`.
    Raises:
        ValueError: there is no alphabet of this name.
        FileNotFoundError: the package with the font lacks its file.
        MissingExtra: the package is not installed.
    """
    if name in SCHOOL:
        return {character: _school_glyph(character, SCHOOL.index(name)) for character in CHARACTERS}
    if name not in FONTS:
        raise ValueError(f"unknown alphabet {name!r}; known: {', '.join([*FONTS, *SCHOOL])}")
    path = _font_file(name)
    if path is None:
        package, file = FONTS[name]
        require("train", f"the alphabet {name!r}", package)
        raise FileNotFoundError(f"alphabet {name!r}: the package {package!r} has no {file!r}; install it again")
    return _trace_font(path)


def _font_file(name: str) -> Path | None:
    package, file = FONTS[name]
    spec = importlib.util.find_spec(package)
    path = Path(spec.submodule_search_locations[0]) / "files" / file if spec else None
    return path if path and path.is_file() else None


def _trace_font(path: Path) -> Alphabet:
    top = ImageFont.truetype(str(path), 100).getbbox("H", anchor="ls")[1]
    font = ImageFont.truetype(str(path), -100 * CAPITAL / top)
    strip = Image.new("L", (len(CHARACTERS) * CELL, CELL))
    draw = ImageDraw.Draw(strip)
    for i, character in enumerate(CHARACTERS):
        draw.text((i * CELL + ORIGIN[0], ORIGIN[1]), character, fill=255, font=font, anchor="ls")
    skeleton = thin((np.asarray(strip) > 127).astype(np.uint8))
    alphabet = {}
    for i, character in enumerate(CHARACTERS):
        cell = np.ascontiguousarray(skeleton[:, i * CELL : (i + 1) * CELL])
        contours, _ = cv2.findContours(cell, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        strokes = [(_smoothed(contour[:, 0]) - ORIGIN) / (CAPITAL, -CAPITAL) for contour in contours]
        alphabet[character] = _glyph(strokes, font.getlength(character) / CAPITAL)
    height = alphabet["H"].points[:, 1]  # a skeleton is lower than its letter by the font's stroke width
    bottom, top = height.min(), height.max()
    return {c: g._replace(points=(g.points - (0, bottom)) / (1, top - bottom)) for c, g in alphabet.items()}


# The neighbourhood of a pixel that may be removed, on a straight edge or at a corner: 1 is ink, -1 paper, 0 either.
_EDGE = np.array([[-1, -1, -1], [0, 1, 0], [1, 1, 1]])
_CORNER = np.array([[0, -1, -1], [1, 1, -1], [0, 1, 0]])


def thin(ink: np.ndarray) -> np.ndarray:
    """Thin ink to lines one pixel wide, by hit-or-miss thinning (Gonzalez & Woods, Digital Image Processing, ch. 9).

    Args:
        ink: (H, W) uint8, 1 is ink.
    Returns:
        (H, W) uint8, the skeleton, with the same connected components as the ink.
    """
    kernels = [np.rot90(kernel, turns).astype(np.int32) for turns in range(4) for kernel in (_EDGE, _CORNER)]
    before = -1
    while before != (before := cv2.countNonZero(ink)):
        for kernel in kernels:
            ink = ink - cv2.morphologyEx(ink, cv2.MORPH_HITMISS, kernel, borderType=cv2.BORDER_CONSTANT)
    return ink


def _smoothed(path: np.ndarray) -> np.ndarray:
    """Smooth the pixel steps of a closed path (P, 2), keep every fifth point, and repeat the first point at the end."""
    smooth = sum(np.roll(path, shift, axis=0) for shift in range(-2, 3)) / 5
    return np.concatenate([smooth[::PIXELS_PER_POINT], smooth[:1]])


def _glyph(strokes: list[np.ndarray], advance: float) -> Glyph:
    return Glyph(np.concatenate(strokes), tuple(len(stroke) for stroke in strokes), advance)


# The school alphabet. A point is two characters: x in 0-9, then y in 0-9 above the baseline, or a, b, c for 1, 2, 3 below
# it; a capital has height 8, a small letter 5. Points of a stroke are separated by spaces, strokes by `|`. Strokes are
# rounded; a point given twice remains a corner. Most capitals have several forms: a round A, an E like an epsilon, a G
# like a 6, an M like an H with a sagging bar, an H with a short right stem. Accents come last; their y starts at the top
# of the letter, that of the cedilla at the baseline.
_SCHOOL_FORMS = {
    "A": ("00 05 18 38 55 50|03 53", "00 28 28 50|13 43", "00 38 38 60|03 63", "00 06 28 47 50|04 44"),
    "B": ("08 00|08 38 57 55 34 04 04 44 53 51 40 00", "08 00|07 28 46 24 14 34 52 30 00",
          "00 08 38 46 24 43 41 20 00"),
    "C": ("57 38 18 05 03 10 30 51", "47 28 05 02 10 40", "58 27 04 11 30 50"),
    "D": ("08 00|08 28 56 53 20 00", "18 10|08 38 66 62 30 00", "08 00|07 38 55 51 20 00"),
    "E": ("58 08 08 00 00 50|04 44", "57 38 17 15 34 34 13 11 30 51", "08 00 00 40|08 48|04 34",
          "48 18 05 01 10 50|04 34"),
    "F": ("08 00|08 58|04 44", "58 08 08 00|04 34", "18 10|08 58|05 45"),
    "G": ("57 38 18 05 03 10 30 52 54 54 34", "47 28 05 02 10 40 52 44 13", "57 38 18 05 03 10 40 53|34 54 54 50"),
    "H": ("08 00|58 50|04 54", "08 00|04 54|47 50", "08 00|48 40|03 45"),
    "I": ("08 00", "08 48|28 20|00 40", "08 00", "18 00"),
    "J": ("18 58|38 32 20 00 01", "48 42 30 10 02", "08 68|48 42 20 01"),
    "K": ("08 00|58 03|25 50", "08 00|48 04 04 50", "08 00|47 24 04|24 50"),
    "L": ("08 00 00 40", "08 00 00 50", "18 00 00 51"),
    "M": ("00 08 08 34 34 68 68 60", "00 08 08|06 18 28 36 30|36 48 58 66 60", "08 00|07 24 34 57|58 50",
          "08 00|06 34 66|68 60"),
    "N": ("00 08 08 50 50 58", "00 08|07 50|50 58", "08 00|05 28 48 56 50", "00 18 18 40 40 58"),
    "O": ("38 18 05 03 10 30 53 55 38 18", "28 06 02 20 52 56 37 27", "48 17 04 11 30 52 55 37"),
    "P": ("08 00|08 38 57 55 34 04", "08 00|07 28 46 44 13", "18 00|08 48 56 34 03"),
    "Q": ("38 18 05 03 10 30 53 55 38 18|32 60", "28 06 02 20 52 56 37 27|31 50 6a"),
    "R": ("08 00|08 38 57 55 34 04 04 50", "08 00|07 38 57 55 34 14 14 50", "00 08 38 46 34 13 13 40",
          "08 00|08 48 46 24 24 60"),
    "S": ("57 38 18 06 15 43 51 30 10 01", "48 18 06 25 42 20 00", "58 27 16 35 42 30 00"),
    "T": ("08 68|38 30", "08 58|28 20", "07 68|38 30 40"),
    "U": ("08 02 10 40 52 58", "08 02 10 30 52|58 50", "08 03 20 43 48"),
    "V": ("08 30 30 58", "08 20 20 48", "07 11 20 31 58"),
    "W": ("08 20 20 45 45 60 60 88", "08 11 20 35 35 41 50 68", "08 10 10 38 38 50 50 78"),
    "X": ("08 50|58 00", "08 40|48 00", "07 27 31 50|58 00"),
    "Y": ("08 34|68 34 34 30", "08 34|68 10", "08 05 24 44|58 51 30 10"),
    "Z": ("08 58 58 00 00 50", "08 58 58 00 00 50|14 44", "07 38 58 00 20 51"),
    "a": ("45 25 04 01 10 30 42|45 41 50",), "b": ("08 00|03 25 44 41 20 01",), "c": ("44 25 15 03 02 10 30 41",),
    "d": ("44 25 04 01 10 30 42|48 41 50",), "e": ("03 43 44 25 15 03 02 10 30 41",), "f": ("47 38 28 16 10|04 34",),
    "g": ("45 25 04 02 11 31 43|45 4a 2c 0b",), "h": ("08 00|03 25 44 40",), "i": ("05 00|07 08",),
    "j": ("35 3a 1c 0b|37 38",), "k": ("08 00|45 02 02 40",), "l": ("08 01 10 20",),
    "m": ("05 00|03 15 25 34 30|33 45 55 64 60",), "n": ("05 00|03 25 35 44 40",), "o": ("25 04 01 20 41 44 25 15",),
    "p": ("05 0c|04 25 44 41 20 01",), "q": ("45 25 04 01 20 42|45 4c",), "r": ("05 00|03 14 25 35",),
    "s": ("44 25 04 23 41 20 01",), "t": ("28 21 30 40|05 45",), "u": ("05 01 10 30 42|45 40",),
    "v": ("05 20 20 45",), "w": ("05 10 10 34 34 50 50 65",), "x": ("05 40|45 00",), "y": ("05 20|45 0c",),
    "z": ("05 45 45 00 00 40",),
    "0": ("28 05 03 20 43 45 28",), "1": ("05 28 28 20", "28 20"), "2": ("06 18 38 46 44 00 00 50",),
    "3": ("07 28 46 24 24 43 30 10 01",), "4": ("38 03 03 53|35 30", "08 04 04 44|48 40"),
    "5": ("48 08 08 05 25 43 41 20 00",), "6": ("47 18 03 10 30 42 34 03",), "7": ("08 48 48 10|14 44", "08 48 48 10"),
    "8": ("47 28 07 25 42 30 10 02 25 47",), "9": ("44 23 05 07 28 47 44 30 10",), "-": ("04 44",), "'": ("19 06",),
    "\u0300": ("02 21",), "\u0301": ("01 22",), "\u0302": ("01 12 21",), "\u0308": ("01 02|21 22",),
    "\u0327": ("00 1a 0b",),
}  # fmt: skip


def _school_glyph(character: str, variant: int) -> Glyph:
    """One form of a character, its corners cut twice (Chaikin 1974)."""
    forms = _SCHOOL_FORMS[character]
    strokes = []
    for stroke in forms[variant % len(forms)].split("|"):
        points = np.array([(int(p[0]), "cba0123456789".index(p[1]) - 3) for p in stroke.split()]) / 8
        for _ in range(2):
            cut = np.stack([points[:-1] * 0.75 + points[1:] * 0.25, points[:-1] * 0.25 + points[1:] * 0.75], axis=1)
            points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
        strokes.append(points)
    return _glyph(strokes, 0.25 + max(float(points[:, 0].max()) for points in strokes))


ACCENTS = {mark: _school_glyph(mark, 0) for mark in "\u0300\u0301\u0302\u0308\u0327"}
