"""Letters as pen strokes: every font reduced to the lines a pen would follow.

A font describes a letter by its outline, a pen by its path. From the path a letter can be drawn with any pen, thin or
thick, steady or shaky, so here every font is brought to that one form. The way there is a classic of image processing:

1. the font is printed large, all its characters on one sheet;
2. the sheet is *thinned*: border pixels are peeled off until lines one pixel wide remain (the skeleton);
3. the skeleton is walked from its ends, straight on at every crossing, which gives the strokes;
4. the strokes are smoothed, thinned out, and scaled so that a capital is 1 high and stands on the line y = 0.

The Hershey fonts (US National Bureau of Standards, 1967) and our own school alphabet are made of strokes from the
start and skip steps 1-3.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hwrlib import school

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
CAPITAL = 40  # px, height of a printed capital: large enough for a clean skeleton, small enough to thin a font in 50 ms
CELL = 104  # px, side of a character's square on the sheet
COLUMNS = 8
CAPITAL_WIDTH = 0.62  # mean of the capitals, in heights; narrower fonts are stretched, as no child writes so

# Alphabet name -> (package that brings the font, file name or Hershey name).
SOURCES = {
    "amatic-sc": ("font_amatic_sc", "AmaticSC-Regular.ttf"),
    "caveat": ("fontpkg_caveat", "Caveat[wght].ttf"),
    "dancing-script": ("fontpkg_dancing_script", "DancingScript[wght].ttf"),
    "delius": ("fontpkg_delius", "Delius-Regular.ttf"),
    "indie-flower": ("fontpkg_indie_flower", "IndieFlower-Regular.ttf"),
    "intuitive": ("font_intuitive", "Intuitive.ttf"),
    "kalam": ("fontpkg_kalam", "Kalam-Light.ttf"),
    "permanent-marker": ("fontpkg_permanent_marker", "PermanentMarker-Regular.ttf"),
    "satisfy": ("fontpkg_satisfy", "Satisfy-Regular.ttf"),
    "shadows-into-light": ("fontpkg_shadows_into_light", "ShadowsIntoLight.ttf"),
    "zeyada": ("fontpkg_zeyada", "Zeyada.ttf"),
    "hershey-sans": ("HersheyFonts", "futural"),
    "hershey-script": ("HersheyFonts", "scripts"),
    **{f"school-{variant}": ("hwrlib", str(variant)) for variant in range(school.VARIANTS)},
}
# Letters that do not survive thinning (outlined, or with a closed loop): the school alphabet stands in for them.
UNCLEAR = {
    "amatic-sc": "EFIJL",
    "caveat": "JL",
    "indie-flower": "x",
    "permanent-marker": "6",
    "satisfy": "Ff",
    "zeyada": "AEJQbdeltz",
}
STROKE_FONTS = ("HersheyFonts", "hwrlib")  # packages whose letters are strokes already


class Glyph(NamedTuple):
    """One character as pen strokes; a capital is 1 high, x runs right from the left edge of the ink, y upwards.

    Attributes:
        points: (P, 2) float32, the points of all strokes, one stroke after the other.
        lengths: points of each stroke; they sum to P.
        left: free space before the ink, for joined writing.
        advance: from one character's origin to the next one's, for joined writing.
    """

    points: np.ndarray
    lengths: tuple[int, ...]
    left: float
    advance: float


Alphabet = dict[str, Glyph]


def available_alphabets() -> list[str]:
    """Names of the alphabets whose packages are installed, in a fixed order."""
    return [name for name, (package, file) in SOURCES.items() if _is_there(package, file)]


@cache
def load_alphabet(name: str) -> Alphabet:
    """Bring one handwriting font to strokes (about 50 ms, once a process).

    Args:
        name: a key of `SOURCES`.
    Returns:
        A Glyph for each of `CHARACTERS`.
    Raises:
        ValueError: the name is not known.
        ModuleNotFoundError: the package with the font is not installed.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown alphabet {name!r}; known: {', '.join(SOURCES)}")
    package, file = SOURCES[name]
    if not _is_there(package, file):
        raise ModuleNotFoundError(f"alphabet {name!r} needs {file!r} of package {package!r}: pip install the project's "
                                  "dependencies, or leave it out of `alphabets`")
    if package == "HersheyFonts":
        return _load_hershey(file)
    if package == "hwrlib":
        return _load_school(int(file))
    stand_ins = load_alphabet("school-0")
    return _load_font(_folder(package) / "files" / file) | {c: stand_ins[c] for c in UNCLEAR.get(name, "")}


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec else None


def _is_there(package: str, file: str) -> bool:
    folder = _folder(package)
    return folder is not None and (package in STROKE_FONTS or (folder / "files" / file).is_file())


def _load_hershey(name: str) -> Alphabet:
    from HersheyFonts import HersheyFonts

    font = HersheyFonts()
    font.load_default_font(name)
    alphabet = {}
    for character in CHARACTERS:
        strokes = [np.array(stroke, np.float32) * (1, -1) for stroke in font.strokes_for_text(character)]
        alphabet[character] = _glyph([_resample(stroke, 2.1) for stroke in strokes], origin=0, advance=None)
    return _scaled(alphabet, baseline=-9)  # Hershey coordinates: capitals from -12 (top) to 9 (base line)


def _load_school(variant: int) -> Alphabet:
    alphabet = {}
    for character in CHARACTERS:
        strokes = [_resample(stroke, 0.1) for stroke in school.strokes(character, variant)]
        alphabet[character] = _glyph(strokes, origin=-0.1, advance=None)
    return _scaled(alphabet, baseline=0)


def _load_font(path: Path) -> Alphabet:
    height = -ImageFont.truetype(str(path), 100).getbbox("H", anchor="ls")[1]
    font = ImageFont.truetype(str(path), 100 * CAPITAL / height)
    rows = -(-len(CHARACTERS) // COLUMNS)
    sheet = Image.new("L", (COLUMNS * CELL, rows * CELL))
    draw = ImageDraw.Draw(sheet)
    margin, base = CELL // 4, CELL * 2 // 3
    corners = [(i % COLUMNS * CELL, i // COLUMNS * CELL) for i in range(len(CHARACTERS))]
    for character, (x, y) in zip(CHARACTERS, corners):
        draw.text((x + margin, y + base), character, fill=255, font=font, anchor="ls")
    skeleton = thin((np.asarray(sheet) > 127).astype(np.uint8))
    alphabet = {}
    for character, (x, y) in zip(CHARACTERS, corners):
        strokes = trace(skeleton[y:y + CELL, x:x + CELL])
        strokes = [_smoothed(stroke) * (1, -1) for stroke in strokes]
        alphabet[character] = _glyph(strokes, origin=margin, advance=font.getlength(character))
    return _scaled(alphabet, baseline=-base)


def _thinning_tables() -> tuple[np.ndarray, np.ndarray]:
    """For the two half steps: 0 where a pixel with these neighbours (as bits, clockwise from the north) is peeled."""
    keep = np.ones((2, 256), np.uint8)
    for code in range(256):
        p = [(code >> bit) & 1 for bit in range(8)]  # N, NE, E, SE, S, SW, W, NW
        crossings = sum(p[i] < p[(i + 1) % 8] for i in range(8))
        if crossings != 1 or not 2 <= sum(p) <= 6:
            continue
        n, e, s, w = p[0], p[2], p[4], p[6]
        keep[0, code] = bool(n * e * s or e * s * w)
        keep[1, code] = bool(n * e * w or n * s * w)
    return keep[0], keep[1]


def thin(ink: np.ndarray) -> np.ndarray:
    """Peel ink down to lines one pixel wide (Zhang & Suen 1984), a whole sheet at once by table look-up.

    Args:
        ink: (H, W) uint8, 1 is ink.
    Returns:
        (H, W) uint8, the skeleton.
    """
    neighbour_bits = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)
    tables = _thinning_tables()
    blobs, ink = ink, ink.copy()
    while True:
        before = int(ink.sum())
        for table in tables:
            codes = cv2.filter2D(ink, -1, neighbour_bits, borderType=cv2.BORDER_CONSTANT)
            ink &= cv2.LUT(codes, table)
        if int(ink.sum()) == before:
            return ink | _lost_dots(blobs, ink)


def _lost_dots(blobs: np.ndarray, skeleton: np.ndarray) -> np.ndarray:
    """A pixel for every blob that was peeled away completely: squares do so, and with them the dot of an i."""
    count, labels, _, centres = cv2.connectedComponentsWithStats(blobs, connectivity=8)
    lost = np.setdiff1d(np.arange(1, count), labels[skeleton > 0])
    dots = np.zeros_like(skeleton)
    columns, rows = np.round(centres[lost]).astype(int).T
    dots[rows, columns] = 1
    return dots


STEPS = [(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1)]  # straight neighbours before diagonal


def trace(skeleton: np.ndarray, *, shortest: int = 4) -> list[np.ndarray]:
    """Walk a skeleton stroke by stroke, from ends where there are any, straight on where lines cross.

    Args:
        skeleton: (H, W) uint8, lines one pixel wide.
        shortest: branches of fewer pixels are spurs of the thinning and dropped; a lone dot stays.
    Returns:
        Strokes, each (P, 2) float32 as x, y in pixels.
    """
    pixels = frozenset(map(tuple, np.argwhere(skeleton.T).tolist()))
    left = set(pixels)

    def neighbours(x: int, y: int, among) -> list[tuple[int, int]]:
        return [(x + dx, y + dy) for dx, dy in STEPS if (x + dx, y + dy) in among]

    around = cv2.filter2D(skeleton, -1, np.ones((3, 3), np.float32), borderType=cv2.BORDER_CONSTANT)
    ends = list(map(tuple, np.argwhere((around * skeleton).T == 2).tolist()))
    strokes = []
    while left:
        start = next((p for p in ends if p in left), None) or min(left)
        left.discard(start)
        walked = [p for p in neighbours(*start, pixels) if p not in left]  # a branch starts at the line it leaves
        path = walked[:1] + [start]
        while ahead := neighbours(*path[-1], left):
            x, y = path[max(0, len(path) - 5)]
            dx, dy = path[-1][0] - x, path[-1][1] - y
            path.append(max(ahead, key=lambda p: (p[0] - path[-1][0]) * dx + (p[1] - path[-1][1]) * dy))
            left.discard(path[-1])
        joined = [p for p in neighbours(*path[-1], pixels) if p not in path[-4:]]
        path += joined[:1]  # ... and closes onto the line it meets
        if len(path) > shortest or not (walked or joined):
            strokes.append(np.array(path, np.float32))
    return strokes


def _smoothed(path: np.ndarray) -> np.ndarray:
    """Take the pixel staircase out of a path and keep every fourth point, ten to a height."""
    if len(path) < 5:
        return path
    padded = np.vstack([path[:1], path[:1], path, path[-1:], path[-1:]])
    smooth = sum(padded[i:i + len(path)] for i in range(5)) / 5
    smooth[0], smooth[-1] = path[0], path[-1]
    return np.vstack([smooth[:-1:4], smooth[-1:]])


def _resample(path: np.ndarray, step: float) -> np.ndarray:
    """Points about every `step` along a path, so that a long straight line can bend and tremble too."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, int(along[-1] / step)))
    return np.stack([np.interp(places, along, path[:, 0]), np.interp(places, along, path[:, 1])], axis=1)


def _glyph(strokes: list[np.ndarray], *, origin: float, advance: float | None) -> Glyph:
    points = np.concatenate(strokes)
    left = points[:, 0].min() - origin
    if advance is None:
        advance = points[:, 0].max() + left
    points[:, 0] -= points[:, 0].min()
    return Glyph(points, tuple(len(stroke) for stroke in strokes), left, advance)


def _scaled(alphabet: Alphabet, *, baseline: float) -> Alphabet:
    """Put the base line at 0 and a capital's height (that of H) at 1, and make narrow fonts as wide as the others."""
    height = alphabet["H"].points[:, 1].max() - baseline
    width = np.mean([alphabet[c].points[:, 0].max() for c in CHARACTERS[:26]]) / height
    stretch = max(1.0, CAPITAL_WIDTH / width)
    scale = np.array([stretch, 1]) / height
    return {
        character: Glyph(((g.points - (0, baseline)) * scale).astype(np.float32), g.lengths, float(g.left * scale[0]),
                         float(g.advance * scale[0]))
        for character, g in alphabet.items()
    }
