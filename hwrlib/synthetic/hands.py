"""Virtual writers, and how they write.

A `Hand` takes its letters from up to three alphabets (pen strokes, see `glyphs`), bends and stretches each letter in its
own way, and has its own slant, size, spacing, pen and habits: a dotted i or other small letters among capitals, accents
or no accents. It writes a letter the same way each time, apart from a small jitter.

Strokes are drawn at twice the size and scaled down, which allows pens of any width. Faint pens lose ink to noise. Finally
the image is binarised, as scans of forms are.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import cv2
import numpy as np

from hwrlib.synthetic.forms import Writing, draw_form, paste
from hwrlib.synthetic.glyphs import ACCENTS, CHARACTERS, SCHOOL, Alphabet, Glyph, available_alphabets, load_alphabet

LABEL_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ '-"
SUPERSAMPLING = 2  # strokes are drawn this many times larger
FRACTION_BITS = 3  # fractional bits of the coordinates given to OpenCV

# Alphabets to take letters from, as far as they are installed.
PRINTED = ("caveat", "delius", "indie-flower", "intuitive", "kalam", "shadows-into-light", *SCHOOL)
JOINED = ("caveat", "dancing-script", "kalam")
# Style -> fraction of the hands, and fraction of these that write each letter into its box.
STYLES = {"capitals": (0.74, 0.96), "mixed": (0.19, 0.94), "title": (0.05, 0.3), "joined": (0.02, 0.0)}
MIXABLE = "ABDEFGHMNQRTUY"  # capitals that small letters may replace; other small letters look like a capital


@dataclass(frozen=True)
class Hand:
    """A virtual writer."""

    letters: Alphabet  # its form of each of CHARACTERS; small letters only if it writes them
    title: bool  # only the first letter of a name is a capital
    boxes: bool  # each letter is written into its box
    size: float  # of its letters, relative to the size that the form suggests
    spacing: float  # extra space between letters outside boxes, in heights of a capital
    jitter: float  # standard deviation of size and position from letter to letter, in heights of a capital
    pen: float  # stroke width in pixels
    fading: float  # ink lost to noise, from 0 (none) to 1 (most)
    accents: bool  # accents are written


def to_label(text: str) -> str:
    """The label of a written text: upper case without accents, as in the transcriptions of real forms."""
    decomposed = unicodedata.normalize("NFD", _to_capitals(text))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _to_capitals(text: str) -> str:
    """Upper case, without ligatures and typographic apostrophes."""
    return text.upper().replace("Œ", "OE").replace("Æ", "AE").replace("’", "'")


def load_alphabets(names: list[str] | None = None) -> dict[str, Alphabet]:
    """Load the alphabets for `make_hand`.

    Args:
        names: keys of `glyphs.FONTS` or members of `glyphs.SCHOOL`; by default all that are installed.
    Returns:
        Name -> alphabet.
    Raises:
        MissingExtra: the package with a font is not installed.
        ValueError: there is no alphabet of a name, or `names` is empty.
    """
    names = available_alphabets() if names is None else names
    if not names:
        raise ValueError("at least one alphabet is needed, for example 'school-0'")
    return {name: load_alphabet(name) for name in names}


def make_hand(rng: np.random.Generator, alphabets: dict[str, Alphabet]) -> Hand:
    """Create a random writer.

    Args:
        rng: decides everything about the hand.
        alphabets: alphabets to take letters from, as `load_alphabets` returns them.
    Returns:
        The hand.
    """
    style = str(rng.choice(list(STYLES), p=[fraction for fraction, _ in STYLES.values()]))
    width, slant = np.exp(rng.normal(0, 0.14)), rng.normal(0, 0.09)
    title = style in ("title", "joined")
    broad = rng.uniform(1, 2) if rng.random() < 0.1 and not title else 1  # small letters would fill with ink
    return Hand(
        letters=_vary_shapes(_choose_letters(rng, alphabets, style), rng, width=width, slant=slant),
        title=title,
        boxes=rng.random() < STYLES[style][1],
        size=np.clip(np.exp(rng.normal(0, 0.16)), 1.0 if title else 0.72, 1.4) * (1.15 if title else 1),
        spacing=0.0 if style == "joined" else np.clip(rng.normal(0.25, 0.15), 0, 0.7),
        jitter=rng.uniform(0.02, 0.06),
        pen=np.clip(1.2 * np.exp(rng.normal(0, 0.22)), 0.9, 1.5 if title else 2) * broad,
        fading=rng.uniform(0.42, 0.72) if rng.random() < 0.15 else rng.uniform(0, 0.42),
        accents=rng.random() < 0.55,
    )


def _choose_letters(rng: np.random.Generator, alphabets: dict[str, Alphabet], style: str) -> Alphabet:
    """Take each character from one of three alphabets; for joined writing from a single one, so that letters connect."""
    names = [name for name in (JOINED if style == "joined" else PRINTED) if name in alphabets] or sorted(alphabets)
    chosen = [alphabets[names[i]] for i in rng.integers(len(names), size=1 if style == "joined" else 3)]
    sources = rng.integers(len(chosen), size=len(CHARACTERS)).tolist()
    letters = {character: chosen[source][character] for character, source in zip(CHARACTERS, sources)}
    if style in ("title", "joined"):
        return letters
    if rng.random() < 0.45:  # many children dot the capital I
        letters["I"] = _enlarge(letters["i"], 0.95)
    if style == "mixed":
        fraction = rng.choice([0.05, 0.25, 0.7], p=[0.5, 0.35, 0.15])
        for character, draw in zip(MIXABLE, rng.random(len(MIXABLE))):
            if draw < fraction:
                letters[character] = _enlarge(letters[character.lower()], 0.7 + 0.3 * draw / fraction)
    return {character: glyph for character, glyph in letters.items() if not character.islower()}


def _enlarge(glyph: Glyph, height: float) -> Glyph:
    """Enlarge a small letter to this height, standing on the baseline, to be written among capitals."""
    bottom, top = glyph.points[:, 1].min(), glyph.points[:, 1].max()
    scale = height / (top - bottom)
    return glyph._replace(points=(glyph.points - (0, bottom)) * scale, advance=glyph.advance * scale)


def _vary_shapes(letters: Alphabet, rng: np.random.Generator, *, width: float, slant: float) -> Alphabet:
    """Bend, stretch and shear each letter at random, and all letters by the width and slant of the hand."""
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
    """Write a name on a form of a random kind.

    Args:
        text: letters with or without accents, spaces, hyphens and apostrophes.
        hand: the writer.
        rng: decides the form, and everything that varies when the same hand writes again.
    Returns:
        (H, W) uint8, dark ink on white (255), nearly binary.
    Raises:
        ValueError: a character cannot be written, or the text is empty.
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
    ink = cv2.addWeighted(ink, 1, grain[top : top + form.height, left : left + form.width], -hand.fading, 0)
    for part, x, y in form.prints:
        paste(ink, part, x, y)
    return cv2.LUT(ink, _BINARISE)


# From ink to grey values: binarised, with the grey edges that JPEG leaves.
_BINARISE = np.clip(255 - (np.arange(256) - 60) * 255 / 150, 0, 255).astype(np.uint8)


@cache
def _grain() -> np.ndarray:
    """The noise that removes ink from faint pens: fine grain on slow waves."""
    rng = np.random.default_rng(0)
    fine, slow = (cv2.GaussianBlur(rng.normal(size=(512, 1024)), (0, 0), sigma) for sigma in (0.7, 6))
    return np.clip(60 * fine / fine.std() + 34 * slow / slow.std() + 90, 0, 255).astype(np.uint8)


def pen_strokes(line: Writing, hand: Hand, rng: np.random.Generator, *, width: float) -> list[np.ndarray]:
    """The path of the pen that writes a line, squeezed if it would not fit.

    Args:
        line: the text and its place.
        hand: the writer.
        rng: decides what varies when the same hand writes again.
        width: px of the paper.
    Returns:
        The strokes, (P, 2) each: x and y in px from the upper left corner.
    """
    glyphs, boxes = zip(*_spell(line.text, hand))
    count, height = len(glyphs), line.height * hand.size
    sizes = [len(glyph.points) for glyph in glyphs]
    advances, boxes = np.array([glyph.advance for glyph in glyphs]), np.array(boxes)
    if hand.boxes:
        starts = boxes * (line.pitch / height) - advances / 2
    else:
        spaces = boxes - np.arange(count)  # spaces before each letter
        starts = np.cumsum(advances + hand.spacing) - advances + spaces * (hand.spacing + 0.5) - 0.4
    stretch, shift = hand.jitter * rng.standard_normal((2, count, 2))
    shift[:, 0] += starts
    points = np.concatenate([glyph.points for glyph in glyphs])
    points = points * np.repeat(1 + stretch, sizes, axis=0) + np.repeat(shift, sizes, axis=0)
    squeeze = min(1, (width - 4 - line.x) / max(1, points[:, 0].max() * height))
    pixels = (line.x, line.baseline) + points * (height * squeeze, -height * squeeze**0.5)
    ends = pairwise(accumulate((length for glyph in glyphs for length in glyph.lengths), initial=0))
    return [pixels[start:end] for start, end in ends]


def _write(canvas: np.ndarray, line: Writing, hand: Hand, rng: np.random.Generator) -> None:
    """Write one line onto the enlarged canvas."""
    strokes = [
        (stroke * (SUPERSAMPLING << FRACTION_BITS)).astype(np.int32)
        for stroke in pen_strokes(line, hand, rng, width=canvas.shape[1] / SUPERSAMPLING)
    ]
    # OpenCV draws whole pixels: a width in between is drawn with the next thinner pen in stronger ink.
    width = max(2, SUPERSAMPLING * hand.pen)
    cv2.polylines(canvas, strokes, False, 205 + round(50 * (width % 1)), int(width), cv2.LINE_8, FRACTION_BITS)


def _spell(text: str, hand: Hand) -> list[tuple[Glyph, int]]:
    """The glyphs of a text as this hand writes it, each with the index of its box."""
    text = _to_capitals(text)
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
    offset = ((x.min() + x.max()) / 2 - 0.12, 0 if mark == "\u0327" else max(0.6, y.max()))
    return glyph._replace(
        points=np.concatenate([glyph.points, accent.points + offset]), lengths=glyph.lengths + accent.lengths
    )
