"""Virtual writers, and how they write.

A `Hand` takes its letters from a few alphabets (pen strokes, see `glyphs`), bends and stretches each in its own way,
and has its own slant, size, spacing, pen and habits: an i with a dot among capitals, small letters among them, accents
or none. It writes a letter the same way each time, up to a small jitter.

Strokes are drawn twice as large and averaged down, which gives pens of any width; faint pens lose ink to noise; then
the image is binarised, as scans of forms are.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import cv2
import numpy as np

from hwrlib.synthetic.forms import Line, draw_form, paste
from hwrlib.synthetic.glyphs import ACCENTS, CHARACTERS, SCHOOL, Alphabet, Glyph, available_alphabets, load_alphabet

LABEL_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ '-"
SUPERSAMPLING = 2  # strokes are drawn this much larger
FRACTION_BITS = 3  # of a pixel, in the points given to OpenCV

# Alphabets to take letters from, those that are installed.
PRINTED = ("caveat", "delius", "indie-flower", "intuitive", "kalam", "shadows-into-light", *SCHOOL)
JOINED = ("caveat", "dancing-script", "kalam")
# Styles: share of the hands, and share of those that put each letter into its box.
STYLES = {"capitals": (0.74, 0.96), "mixed": (0.19, 0.94), "title": (0.05, 0.3), "joined": (0.02, 0.0)}
MIXABLE = "ABDEFGHMNQRTUY"  # capitals that small letters may replace; the others look alike, and l is an I


@dataclass(frozen=True)
class Hand:
    """A virtual writer."""

    letters: Alphabet  # how this hand forms each of CHARACTERS; small ones only where it writes them
    title: bool  # whether only the first letter of a name is a capital
    boxes: bool  # whether it puts each letter into its box
    size: float  # of its letters, relative to what the form suggests
    spacing: float  # more space between letters where it keeps to no boxes, in heights of a capital
    jitter: float  # unsteadiness, the standard deviation from letter to letter
    pen: float  # stroke width in pixels
    fading: float  # ink lost to noise, 0 (none) to 1 (most)
    accents: bool  # whether it writes them


def to_label(text: str) -> str:
    """The label of a written text: upper case, accents dropped, as the forms' transcriptions have it."""
    decomposed = unicodedata.normalize("NFD", _written_out(text))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _written_out(text: str) -> str:
    return text.upper().replace("Œ", "OE").replace("Æ", "AE").replace("’", "'")


def load_fonts(names: list[str] | None = None) -> dict[str, Alphabet]:
    """The alphabets for `make_hand`.

    Args:
        names: of alphabets (`glyphs.FONTS`, `glyphs.SCHOOL`); all that are installed by default.
    Returns:
        Alphabets by name.
    Raises:
        ModuleNotFoundError: the font of a name is not installed.
        ValueError: a name is not known, or there is none.
    """
    names = available_alphabets() if names is None else names
    if not names:
        raise ValueError("at least one alphabet is needed, for instance 'school-0'")
    return {name: load_alphabet(name) for name in names}


def make_hand(rng: np.random.Generator, fonts: dict[str, Alphabet]) -> Hand:
    """Make up a writer.

    Args:
        rng: all of the hand follows from it.
        fonts: alphabets to take letters from, as `load_fonts` gives them.
    Returns:
        The hand.
    """
    style = str(rng.choice(list(STYLES), p=[share for share, _ in STYLES.values()]))
    width, slant = np.exp(rng.normal(0, 0.14)), rng.normal(0, 0.09)
    title = style in ("title", "joined")
    broad = rng.uniform(1, 2) if rng.random() < 0.1 and not title else 1  # small letters would run full of ink
    return Hand(
        letters=_own_way(_choose_letters(rng, fonts, style), rng, width=width, slant=slant),
        title=title,
        boxes=rng.random() < STYLES[style][1],
        size=np.clip(np.exp(rng.normal(0, 0.16)), 1.0 if title else 0.72, 1.4) * (1.15 if title else 1),
        spacing=0.0 if style == "joined" else np.clip(rng.normal(0.25, 0.15), 0, 0.7),
        jitter=rng.uniform(0.02, 0.06),
        pen=np.clip(1.2 * np.exp(rng.normal(0, 0.22)), 0.9, 1.5 if title else 2) * broad,
        fading=rng.uniform(0.42, 0.72) if rng.random() < 0.15 else rng.uniform(0, 0.42),
        accents=rng.random() < 0.55,
    )


def _choose_letters(rng: np.random.Generator, fonts: dict[str, Alphabet], style: str) -> Alphabet:
    """Each character from one of three fonts; joined writing from a single one, or its letters would not meet."""
    names = [name for name in (JOINED if style == "joined" else PRINTED) if name in fonts] or sorted(fonts)
    alphabets = [fonts[names[i]] for i in rng.integers(len(names), size=1 if style == "joined" else 3)]
    sources = rng.integers(len(alphabets), size=len(CHARACTERS)).tolist()
    letters = {character: alphabets[source][character] for character, source in zip(CHARACTERS, sources)}
    if style in ("title", "joined"):
        return letters
    if rng.random() < 0.45:  # a dot on the I, as many children write it
        letters["I"] = _as_tall(letters["i"], 0.95)
    if style == "mixed":
        share = rng.choice([0.05, 0.25, 0.7], p=[0.5, 0.35, 0.15])
        for character, chance in zip(MIXABLE, rng.random(len(MIXABLE))):
            if chance < share:
                letters[character] = _as_tall(letters[character.lower()], 0.7 + 0.3 * chance / share)
    return {character: glyph for character, glyph in letters.items() if not character.islower()}


def _as_tall(glyph: Glyph, height: float) -> Glyph:
    """A small letter written among capitals: enlarged, standing on the base line."""
    bottom, top = glyph.points[:, 1].min(), glyph.points[:, 1].max()
    scale = height / (top - bottom)
    return glyph._replace(points=(glyph.points - (0, bottom)) * scale, advance=glyph.advance * scale)


def _own_way(letters: Alphabet, rng: np.random.Generator, *, width: float, slant: float) -> Alphabet:
    """Bend, stretch and shear each letter in a way of its own, and all by the hand's width and slant."""
    glyphs = list(letters.values())
    sizes = [len(glyph.points) for glyph in glyphs]
    x, y = np.concatenate([glyph.points for glyph in glyphs]).T
    bend_x, bend_y = np.repeat(0.09 * rng.standard_normal((2, len(glyphs))), sizes, axis=1)
    bent = np.stack([x + bend_x * y * (1 - y) * 2, y + bend_y * x * (0.7 - x)], axis=1)
    shapes = np.array([[width, slant], [0, 1]]) @ (np.eye(2) + 0.07 * rng.standard_normal((len(glyphs), 2, 2)))
    points = np.einsum("pij,pj->pi", np.repeat(shapes, sizes, axis=0), bent)
    ends = pairwise(accumulate(sizes, initial=0))
    return {
        character: Glyph(points[start:end], glyph.lengths, glyph.advance * width)
        for (character, glyph), (start, end) in zip(letters.items(), ends)
    }


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
    for line in form.lines:
        _write(canvas, line, hand, rng)
    ink = cv2.resize(canvas, (form.width, form.height), interpolation=cv2.INTER_AREA)
    grain = _grain()
    top, left = rng.integers(grain.shape[0] - form.height), rng.integers(grain.shape[1] - form.width)
    ink = cv2.addWeighted(ink, 1, grain[top:top + form.height, left:left + form.width], -hand.fading, 0)
    for part, x, y in form.prints:
        paste(ink, part, x, y)
    return cv2.LUT(ink, _BINARISE)


# Ink to paper: binarised, but for the grey rim that JPEG leaves.
_BINARISE = np.clip(255 - (np.arange(256) - 60) * 255 / 150, 0, 255).astype(np.uint8)


@cache
def _grain() -> np.ndarray:
    """Noise that faint pens lose their ink to: fine grain on slow waves."""
    rng = np.random.default_rng(0)
    fine, slow = (cv2.GaussianBlur(rng.normal(size=(512, 1024)), (0, 0), sigma) for sigma in (0.7, 6))
    return np.clip(60 * fine / fine.std() + 34 * slow / slow.std() + 90, 0, 255).astype(np.uint8)


def _write(canvas: np.ndarray, line: Line, hand: Hand, rng: np.random.Generator) -> None:
    """Write one line onto the enlarged canvas, narrower where it would not fit."""
    glyphs, boxes = zip(*_spell(line.text, hand))
    count, height = len(glyphs), line.height * hand.size
    sizes = [len(glyph.points) for glyph in glyphs]
    advances, boxes = np.array([glyph.advance for glyph in glyphs]), np.array(boxes)
    if hand.boxes:
        starts = boxes * (line.pitch / height) - advances / 2
    else:
        spaces = boxes - np.arange(count)  # before each letter
        starts = np.cumsum(advances + hand.spacing) - advances + spaces * (hand.spacing + 0.5) - 0.4
    stretch, shift = hand.jitter * rng.standard_normal((2, count, 2))
    shift[:, 0] += starts
    points = np.concatenate([glyph.points for glyph in glyphs])
    points = points * np.repeat(1 + stretch, sizes, axis=0) + np.repeat(shift, sizes, axis=0)
    squeeze = min(1, (canvas.shape[1] / SUPERSAMPLING - 4 - line.x) / max(1, points[:, 0].max() * height))
    pixels = (line.x, line.baseline) + points * (height * squeeze, -height * squeeze ** 0.5)
    pixels = (pixels * (SUPERSAMPLING << FRACTION_BITS)).astype(np.int32)
    ends = pairwise(accumulate((length for glyph in glyphs for length in glyph.lengths), initial=0))
    # OpenCV's pens are whole pixels wide: the next thinner one in darker ink gives the widths between.
    width = max(2, SUPERSAMPLING * hand.pen)
    strokes = [pixels[start:end] for start, end in ends]
    cv2.polylines(canvas, strokes, False, 205 + round(50 * (width % 1)), int(width), cv2.LINE_8, FRACTION_BITS)


def _spell(text: str, hand: Hand) -> list[tuple[Glyph, int]]:
    """The glyphs of a text as this hand writes it, each with the number of its box."""
    text = _written_out(text)
    letters = []
    for box, character in enumerate(text.title() if hand.title else text):
        base, *marks = unicodedata.normalize("NFD", character)
        if base != " ":
            accented = hand.accents and marks and marks[0] in ACCENTS
            glyph = hand.letters[base]
            letters.append((_with_accent(glyph, marks[0]) if accented else glyph, box))
    return letters


def _with_accent(glyph: Glyph, mark: str) -> Glyph:
    accent, (x, y) = ACCENTS[mark], glyph.points.T
    place = ((x.min() + x.max()) / 2 - 0.12, 0 if mark == "\u0327" else max(0.6, y.max()))
    return glyph._replace(points=np.concatenate([glyph.points, accent.points + place]),
                          lengths=glyph.lengths + accent.lengths)
