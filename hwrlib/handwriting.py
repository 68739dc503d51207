"""Virtual writers, and how they write.

A `Hand` takes every letter from one of three alphabets (pen strokes, see `glyphs`), bends and stretches it in its own
way, and has its own slant, size, pen, steadiness and habits: an i with a dot among capitals, small letters among them,
accents or none. It writes a letter the same way each time, up to a small jitter.

Strokes are drawn twice as large and averaged down, which gives pens of any width; faint pens lose ink to noise; then
the image is binarised, as scans of forms are.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import cv2
import numpy as np

from hwrlib.forms import Line, draw_form, paste
from hwrlib.glyphs import CHARACTERS, Alphabet, Glyph, available_alphabets, load_alphabet

SUPERSAMPLING = 2  # strokes are drawn this much larger
FRACTION_BITS = 3  # of a pixel, in the points given to OpenCV
LABEL_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ '-"

# Alphabets a hand may take its letters from; the rest of a list given by the user is used for whatever it can.
PRINTED = ("amatic-sc", "caveat", "delius", "hershey-sans", "indie-flower", "intuitive", "kalam", "permanent-marker",
           "shadows-into-light", "zeyada") + ("school-0", "school-1", "school-2", "school-3") * 2
LOWER_CASE = ("caveat", "delius", "hershey-sans", "indie-flower", "intuitive", "kalam", "school-0",
              "shadows-into-light")
JOINED = ("caveat", "dancing-script", "hershey-script", "kalam", "satisfy")


_WRITTEN_OUT = str.maketrans({"Œ": "OE", "Æ": "AE", "’": "'"})


def to_label(text: str) -> str:
    """The label of a written text: upper case, accents dropped, as the forms' transcriptions have it."""
    decomposed = unicodedata.normalize("NFD", text.upper().translate(_WRITTEN_OUT))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@dataclass(frozen=True)
class Hand:
    """A virtual writer. Lengths are in heights of a capital letter unless they say pixels.

    Attributes:
        style: "capitals", "mixed" (small letters among them), "title" (only the first is a capital) or "joined".
        glyphs: how this hand forms each character.
        shapes: (62, 2, 2) its own stretch and shear of each of `CHARACTERS`.
        bends: (62, 2) its own curvature of each: along x, along y.
        size: of its letters, relative to what the form suggests.
        boxes: whether it puts each letter into its box.
        spacing: free space between letters where it does not.
        spacing_jitter, baseline_jitter, shape_jitter: standard deviations from letter to letter.
        slope: rise of the base line per unit of length.
        pen: stroke width in pixels.
        tremor: standard deviation of a point of a stroke.
        fading: ink lost to noise, 0 (none) to 1 (most).
        accents: probability that an accent is written.
    """

    style: str
    glyphs: dict[str, Glyph]
    shapes: np.ndarray
    bends: np.ndarray
    size: float
    boxes: bool
    spacing: float
    spacing_jitter: float
    baseline_jitter: float
    shape_jitter: float
    slope: float
    pen: float
    tremor: float
    fading: float
    accents: float


def make_hand(rng: np.random.Generator, fonts: dict[str, Alphabet]) -> Hand:
    """Make up a writer.

    Args:
        rng: all of the hand follows from it.
        fonts: alphabets to take letters from, as `load_fonts` gives them.
    Returns:
        The hand.
    """
    style = _choose(rng, ("capitals", "mixed", "title", "joined"), (0.72, 0.18, 0.06, 0.04))
    joined = style == "joined"
    habits = dict(zip(HABITS, rng.standard_normal(len(HABITS)).tolist()))
    chances = dict(zip(CHANCES, rng.random(len(CHANCES)).tolist()))
    count = len(CHARACTERS)
    shapes = np.eye(2) + 0.07 * rng.standard_normal((count, 2, 2))
    broad = 1 + 1.2 * chances["marker"] * (chances["broad"] < 0.1)
    return Hand(
        style=style,
        glyphs=_choose_glyphs(rng, fonts, style),
        shapes=np.array([[np.exp(0.14 * habits["width"]), 0.09 * habits["slant"]], [0, 1]]) @ shapes,
        bends=0.09 * rng.standard_normal((count, 2)),
        boxes=chances["boxes"] < BOX_KEEPERS[style],
        size=min(max(np.exp(0.16 * habits["size"]), 0.72), 1.4),
        spacing=0.0 if joined else min(max(0.4 + 0.15 * habits["spacing"], 0.12), 0.9),
        spacing_jitter=0.03 + 0.09 * chances["spacing"],
        baseline_jitter=0.01 + 0.06 * chances["baseline"],
        shape_jitter=0.02 + 0.04 * chances["shape"],
        slope=0.012 * habits["slope"],
        pen=min(max(1.2 * np.exp(0.22 * habits["pen"]), 0.9), 2.0) * broad,
        tremor=0.02 * chances["tremor"],
        fading=0.42 + 0.3 * chances["fading"] if chances["faint"] < 0.15 else 0.42 * chances["fading"],
        accents=_choose(rng, (0.0, 0.5, 1.0), (0.3, 0.3, 0.4)),
    )


HABITS = ("width", "slant", "size", "spacing", "slope", "pen")  # spread around the usual
CHANCES = ("boxes", "spacing", "baseline", "shape", "tremor", "broad", "marker", "faint", "fading")  # spread evenly
BOX_KEEPERS = {"capitals": 0.96, "mixed": 0.94, "title": 0.3, "joined": 0.0}  # share of hands that keep to the boxes


def _choose(rng: np.random.Generator, options: tuple, shares: tuple[float, ...]):
    """One of a few options; `Generator.choice` takes ten times as long."""
    chance = rng.random()
    for option, share in zip(options, shares):
        chance -= share
        if chance < 0:
            return option
    return options[-1]


def _choose_glyphs(rng: np.random.Generator, fonts: dict[str, Alphabet], style: str) -> dict[str, Glyph]:
    """Each character from one of three fonts; joined writing from a single one, or its letters would not meet."""
    capitals = _pick(rng, fonts, JOINED if style == "joined" else PRINTED, 1 if style == "joined" else 3)
    small = capitals if style == "joined" else _pick(rng, fonts, LOWER_CASE, 2)
    sources = rng.integers(6, size=len(CHARACTERS)).tolist()
    glyphs = {}
    for character, source in zip(CHARACTERS, sources):
        names = small if character.islower() else capitals
        glyphs[character] = fonts[names[source % len(names)]][character]
    if style == "mixed":
        share = _choose(rng, (0.05, 0.25, 0.7), (0.5, 0.35, 0.15))
        for character, chance in zip(MIXED, rng.random(len(MIXED)).tolist()):
            if chance < share:
                glyphs[character] = _as_tall(glyphs[character.lower()], 0.7 + 0.3 * chance / share)
    if style in ("capitals", "mixed") and rng.random() < 0.45:
        glyphs["I"] = _dotted_i(0.55 + 0.25 * rng.random())
    return glyphs


MIXED = "ABDEFGHMNQRTUY"  # capitals that small letters may replace; the others look alike, and l is an I


def _pick(rng: np.random.Generator, fonts: dict[str, Alphabet], wanted: tuple[str, ...], count: int) -> list[str]:
    names = [name for name in wanted if name in fonts] or sorted(fonts)
    return [names[i] for i in rng.integers(len(names), size=count)]


def _as_tall(glyph: Glyph, height: float) -> Glyph:
    """A small letter written among capitals: enlarged, standing on the base line."""
    bottom, top = glyph.points[:, 1].min(), glyph.points[:, 1].max()
    return glyph._replace(points=(glyph.points - (0, bottom)) * np.float32(height / (top - bottom)))


def _dotted_i(height: float) -> Glyph:
    points = [(0, height), (0, height / 2), (0, 0), (0.02, 0.98), (0.03, 1.0)]
    return Glyph(np.array(points, np.float32), (3, 2), 0.1, 0.2)


def load_fonts(names: list[str] | None = None) -> dict[str, Alphabet]:
    """The alphabets for `make_hand`.

    Args:
        names: of alphabets (keys of `glyphs.SOURCES`); all that are installed by default.
    Returns:
        Alphabets by name.
    Raises:
        ModuleNotFoundError: none is installed, or one asked for is not.
    """
    names = available_alphabets() if names is None else names
    if not names:
        raise ModuleNotFoundError("no handwriting font is installed: pip install fontpkg-caveat==2.0 (or any other "
                                  "font package among the project's dependencies)")
    return {name: load_alphabet(name) for name in names}


def render_name(text: str, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """Write a name on a form of random kind.

    Args:
        text: letters with or without accents, spaces, hyphens, apostrophes.
        hand: the writer.
        rng: the form, and everything that differs each time the same hand writes.
    Returns:
        (H, W) uint8, dark ink on white (255), nearly binary.
    Raises:
        ValueError: a character cannot be written, or there is none.
    """
    unknown = set(to_label(text)) - set(LABEL_CHARACTERS)
    if unknown or not text.strip():
        raise ValueError(f"{text!r}: cannot write {sorted(unknown)}; use letters, space, hyphen and apostrophe")
    form = draw_form(text, rng)
    canvas = np.zeros((form.height * SUPERSAMPLING, form.width * SUPERSAMPLING), np.uint8)
    for line in (form.name, *form.others):
        _write(canvas, line, hand, rng)
    ink = cv2.resize(canvas, (form.width, form.height), interpolation=cv2.INTER_AREA)
    ink = _faded(ink, hand.fading, rng)
    if rng.random() < 0.06:  # a speck of dirt
        row, column = int(rng.integers(form.height)), int(rng.integers(form.width))
        ink[row:row + 2, column:column + 2] = 255
    for item in form.prints:
        paste(ink, item)
    return cv2.LUT(ink, _BINARISE)


# Ink to paper: binarised, but for the grey rim that JPEG leaves.
_BINARISE = np.clip(255 - (np.arange(256) - 60) * 255 / 150, 0, 255).astype(np.uint8)


@cache
def _grain() -> np.ndarray:
    """Noise that faint pens lose their ink to: fine grain on slow waves."""
    rng = np.random.default_rng(0)
    fine = cv2.GaussianBlur(rng.normal(size=(512, 1024)).astype(np.float32), (0, 0), 0.7)
    slow = cv2.GaussianBlur(rng.normal(size=(512, 1024)).astype(np.float32), (0, 0), 6)
    noise = fine / fine.std() * 0.8 + slow / slow.std() * 0.45
    return np.clip(noise * 75 + 90, 0, 255).astype(np.uint8)


def _faded(ink: np.ndarray, fading: float, rng: np.random.Generator) -> np.ndarray:
    grain, (h, w) = _grain(), ink.shape
    y, x = rng.integers(grain.shape[0] - h), rng.integers(grain.shape[1] - w)
    return cv2.addWeighted(ink, 1.0, grain[y:y + h, x:x + w], -fading, 0)


def _write(canvas: np.ndarray, line: Line, hand: Hand, rng: np.random.Generator) -> None:
    """Write one line with the pen, scaled down where it would not fit."""
    glyphs, shapes, boxes = (list(column) for column in zip(*_spell(line.text, hand, rng)))
    sizes = np.array([len(glyph.points) for glyph in glyphs])
    x, y = _shaped(glyphs, shapes, sizes, hand, rng)
    starts = np.cumsum(sizes) - sizes
    left, right = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
    shift = _places(glyphs, np.array(boxes), left, right, line, hand, rng)
    drop = hand.baseline_jitter * rng.standard_normal(len(glyphs)) + hand.slope * shift
    x += np.repeat(shift, sizes)
    y += np.repeat(drop, sizes)
    _draw(canvas, x, y, glyphs, line, hand, rng)


def _shaped(
    glyphs: list[Glyph], shapes: list[int], sizes: np.ndarray, hand: Hand, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points of all letters, each about its own origin: bent and stretched as the hand does, with jitter and tremor."""
    points = np.concatenate([glyph.points for glyph in glyphs])
    matrices = hand.shapes[shapes] + hand.shape_jitter * rng.standard_normal((len(glyphs), 2, 2))
    a, b, c, d, bend_x, bend_y = np.repeat(
        np.hstack([matrices.reshape(-1, 4), hand.bends[shapes]]).T, sizes, axis=1
    )
    x0, y0 = points.T
    x = x0 + bend_x * y0 * (1 - y0) * 2
    y = y0 + bend_y * x0 * (0.7 - x0)
    shake = hand.tremor * rng.standard_normal(2 * len(x) + 2)
    across, along = np.convolve(shake[:len(x) + 2], SHAKE, "valid"), np.convolve(shake[len(x):], SHAKE, "valid")
    return a * x + b * y + across, c * x + d * y + along


def _places(
    glyphs: list[Glyph], boxes: np.ndarray, left: np.ndarray, right: np.ndarray, line: Line, hand: Hand,
    rng: np.random.Generator,
) -> np.ndarray:
    """How far each letter is moved to its place, in heights of a capital: into its box, spaced out, or joined."""
    spaces = boxes - np.arange(len(boxes))  # before each letter
    jitter = hand.spacing_jitter * rng.standard_normal(len(boxes))
    if hand.boxes:
        return boxes * (line.pitch / (line.height * hand.size)) - (left + right) / 2 + jitter
    if hand.style == "joined":
        advances = np.array([glyph.advance for glyph in glyphs])
        origins = np.cumsum(advances) - advances + [glyph.left for glyph in glyphs]
        return origins * hand.shapes[0, 0, 0] + spaces * 0.5
    steps = right - left + np.maximum(hand.spacing + jitter, 0.06)
    return np.cumsum(steps) - steps - left + spaces * (hand.spacing + 0.4) - 0.3


def _draw(canvas, x, y, glyphs: list[Glyph], line: Line, hand: Hand, rng: np.random.Generator) -> None:
    """Draw points given in heights of a capital onto the enlarged canvas."""
    height = line.height * hand.size
    room = canvas.shape[1] / SUPERSAMPLING - line.x - 4
    squeeze = min(1.0, room / max(x.max() * height, 1.0))
    unit = SUPERSAMPLING << FRACTION_BITS
    pixels = np.empty((len(x), 2), np.int32)
    pixels[:, 0] = (line.x + x * height * squeeze) * unit
    pixels[:, 1] = (line.baseline - y * height * squeeze ** 0.5) * unit
    ends = list(accumulate(length for glyph in glyphs for length in glyph.lengths))
    strokes = [pixels[start:end] for start, end in zip([0, *ends], ends)]
    # OpenCV's pens are whole pixels wide: the next thinner one in darker ink gives the widths between.
    width = max(2.0, SUPERSAMPLING * (hand.pen + 0.08 * rng.standard_normal()))
    cv2.polylines(canvas, strokes, False, 205 + round(50 * (width % 1)), int(width), cv2.LINE_8, FRACTION_BITS)


SHAKE = [0.5, 0.7, 0.5]  # a trembling hand is steady from one point to the next
_HYPHEN = Glyph(np.array([(0, 0.45), (0.2, 0.46), (0.4, 0.45)], np.float32), (3,), 0.1, 0.6)
_APOSTROPHE = Glyph(np.array([(0.06, 1.05), (0.03, 0.9), (0, 0.8)], np.float32), (3,), 0.05, 0.2)
_MARKS = {"-": _HYPHEN, "'": _APOSTROPHE}
_CODE = {character: i for i, character in enumerate(CHARACTERS)}

# Accents over a letter: strokes in units of a capital's height, x from the letter's middle, y from its top.
_ACCENTS = {
    "\u0300": [[(-0.16, 0.3), (0.08, 0.12)]],  # grave
    "\u0301": [[(-0.06, 0.12), (0.16, 0.32)]],  # acute
    "\u0302": [[(-0.18, 0.1), (0, 0.28), (0.18, 0.1)]],  # circumflex
    "\u0303": [[(-0.2, 0.14), (-0.06, 0.22), (0.06, 0.14), (0.2, 0.22)]],  # tilde
    "\u0308": [[(-0.14, 0.18), (-0.13, 0.2)], [(0.14, 0.18), (0.15, 0.2)]],  # diaeresis
    "\u0327": [[(0.02, -1.0), (0.1, -1.14), (-0.06, -1.22)]],  # cedilla, from the base line
}


def _spell(text: str, hand: Hand, rng: np.random.Generator) -> list[tuple[Glyph, int, int]]:
    """The glyphs of a text as this hand writes it, each with the index of its shape and of its box."""
    text = text.upper().translate(_WRITTEN_OUT)
    text = text.title() if hand.style in ("title", "joined") else text
    accented = rng.random() < hand.accents
    letters = []
    for box, character in enumerate(text):
        if character == " ":
            continue
        base, *marks = unicodedata.normalize("NFD", character)
        if base in _MARKS:
            letters.append((_MARKS[base], 0, box))
            continue
        glyph = hand.glyphs[base]
        if marks and accented and marks[0] in _ACCENTS:
            glyph = _with_accent(glyph, marks[0])
        twice = hand.boxes and rng.random() < 0.02  # gone over a second time, to correct or to darken it
        letters += [(glyph, _CODE[base], box)] * (1 + twice)
    return letters


def _with_accent(glyph: Glyph, mark: str) -> Glyph:
    middle, top = glyph.points[:, 0].max() / 2, max(0.6, glyph.points[:, 1].max())
    strokes = [np.array(stroke, np.float32) + (middle, top) for stroke in _ACCENTS[mark]]
    points = np.concatenate([glyph.points, *strokes]).astype(np.float32)
    return glyph._replace(points=points, lengths=glyph.lengths + tuple(len(stroke) for stroke in strokes))
