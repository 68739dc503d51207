"""New names from the letters of real ones: real names are cut between their letters, and the pieces joined to other names.

    python -m hwrlib.sources.splices data/kaggle --out data/spliced

A few thousand labelled names hold tens of thousands of real letters, but only a few thousand different texts, which a
recogniser soon memorises. Forced alignment finds the letters; where a column between two of them is free of ink, the image
can be cut. A spliced name has the margins and the printed words of one image, and letters of others that are as large, as
widely spaced and as thick. This works for letters that do not touch, such as capitals on forms.
"""

import argparse
import csv
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from hwrlib.common.extras import MissingExtra
from hwrlib.common.files import atomic_folder, locked
from hwrlib.ctc import Symbol
from hwrlib.images import INK_LEVEL, Normalisation
from hwrlib.language.alignment import forced_alignment
from hwrlib.models.locate import find_checkpoint
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.language import read_texts
from hwrlib.sets.dataset import LineDataset
from hwrlib.synthetic.dataset import label_frequencies

BATCH = 64  # lines that are aligned together
HEIGHT = 64  # px of the spliced images: more than a recogniser needs
LONGEST_PIECE = 4  # characters
PIECE_LENGTHS = (1, 2, 2, 3, 3, LONGEST_PIECE)  # tried in random order, so that pairs and triples are the most frequent
MIN_CONFIDENCE = 0.3  # least probability of every aligned letter; with less, the label may be wrong
MIN_LETTER = 12  # px of height; smaller letters would be enlarged too much
ABOVE_AND_BELOW = 0.45  # of the letters' height, taken along with a piece: accents and tails
MAX_SCALE = 1.6  # between a piece and the line it goes to
MARGIN_KEPT = 0.85  # probability that what stands left of the name is kept, and so on the right
THICKNESSES = 3  # groups of lines by the thickness of their strokes
NEIGHBOURS = 900  # lines of a group that give their letters to a line: those with the most similar spacing
BLOCK = 300  # lines that share these neighbours
MIN_LINES = 100  # that can be cut; with fewer, the same letters would come again and again


@dataclass(frozen=True)
class CutLine:
    """A line of writing and where it can be cut."""

    ink: np.ndarray  # (H, W) uint8, 0 is paper
    text: str
    cuts: tuple[int | None, ...]  # the columns before, between and after the letters; None: letters touch there
    top: float  # px, of the letters
    bottom: float
    spacing: float  # from letter to letter, in heights of a letter
    thickness: float  # area of the strokes per length of their outline, in heights of a letter

    @property
    def height(self) -> float:
        """Height of the letters in px."""
        return self.bottom - self.top


def splice(
    data: str | Path,
    out: str | Path,
    *,
    count: int = 20_000,
    checkpoint: str = "names",
    frequencies: Mapping[str, float] | None = None,
    seed: int = 0,
) -> int:
    """Write a data set of spliced names, to be trained on beside `data` (the knob `extra_data`).

    Args:
        data: a data set whose training lines are cut.
        out: folder to create; it gets a training split only.
        count: number of images.
        checkpoint: a model that reads these lines, to find their letters.
        frequencies: texts and how often they occur; they are drawn with the square root of it. By default French names.
        seed: everything random follows from it.
    Returns:
        How many lines of `data` could be cut.
    Raises:
        FileExistsError: `out` exists.
        ValueError: fewer than 100 lines can be cut, or the texts cannot be composed of their letters.
    """
    _check_is_new(out)
    lines = cut_lines(data, checkpoint)
    if len(lines) < MIN_LINES:
        raise ValueError(
            f"{data}: only {len(lines)} of its training lines can be cut between their letters, which takes at least "
            f"{MIN_LINES}; it works for letters that do not touch, with a checkpoint that reads them"
        )
    rng, splicer = np.random.default_rng(seed), Splicer(lines)
    frequencies = label_frequencies() if frequencies is None else frequencies
    with locked(out):
        _check_is_new(out)  # another process may have been faster
        with atomic_folder(out) as folder:
            _write_training_split(folder, splicer.compositions(frequencies, count, rng))
    return len(lines)


def _check_is_new(out: str | Path) -> None:
    if Path(out).exists():
        raise FileExistsError(f"{out}: exists already; remove it, or choose another folder")


def _write_training_split(folder: Path, compositions: Iterable[tuple[str, np.ndarray]]) -> None:
    (folder / "train").mkdir()
    rows = []
    for text, ink in compositions:
        rows.append((f"SPLICE_{len(rows) + 1:05d}.png", text))
        _, image = cv2.imencode(".png", 255 - ink)
        (folder / "train" / rows[-1][0]).write_bytes(image)
    with open(folder / "train.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("FILENAME", "IDENTITY"), *rows])


# Cutting -------------------------------------------------------------------------------------------------------------


def cut_lines(data: str | Path, checkpoint: str) -> list[CutLine]:
    """The training lines of a data set that can be cut at both ends of their text, at least."""
    recognizer = Recognizer.from_checkpoint(find_checkpoint(checkpoint), decoder=None)
    own = recognizer.normalisation
    tall = Normalisation(HEIGHT, own.max_width * HEIGHT // own.height, own.min_width * HEIGHT // own.height, own.max_stretch)
    dataset, found = LineDataset(data, "train", tall), []
    by_width = np.argsort(dataset.widths, kind="stable").tolist()  # so that batches hold little padding
    usable = [i for i in by_width if len(dataset.texts[i]) > 1 and not recognizer.charset.missing(dataset.texts[i])]
    for first in range(0, len(usable), BATCH):
        batch = usable[first : first + BATCH]
        for i, log_probs in zip(batch, recognizer.log_probs([dataset.path(i) for i in batch])):
            sample = dataset[i]
            symbols = _align(log_probs, recognizer.charset.encode(sample.text))
            line = cut(sample.ink, sample.text, symbols, px_per_frame=sample.ink.shape[1] / len(log_probs))
            found += [line] if line is not None else []
    return found


def _align(log_probs: np.ndarray, classes: list[int]) -> list[Symbol]:
    """The frames (T, C) of each character; none if the line is too narrow for them."""
    try:
        return forced_alignment(log_probs[:, None], np.array([len(log_probs)]), [classes])[0]
    except ValueError:
        return []


def cut(ink: np.ndarray, text: str, symbols: list[Symbol], *, px_per_frame: float) -> CutLine | None:
    """Find the columns where a line can be cut.

    Args:
        ink: (H, W) uint8, 0 is paper.
        text: what is written there, two characters at least.
        symbols: the frames of each character.
        px_per_frame: columns of `ink` per frame.
    Returns:
        None if a letter is not found for sure, the ends of the text are not free, or the letters are too small.
    """
    if not symbols or min(symbol.confidence for symbol in symbols) < MIN_CONFIDENCE:
        return None
    centres = [(symbol.first_frame + symbol.last_frame + 1) / 2 * px_per_frame for symbol in symbols]
    pitch = (centres[-1] - centres[0]) / (len(centres) - 1)
    is_free = (ink < INK_LEVEL).all(0)  # (W,)
    between = [_middle(_widest(_free_runs(is_free, left, right))) for left, right in pairwise(centres)]
    before, after = (
        _free_runs(is_free, centres[0] - pitch, centres[0]),
        _free_runs(is_free, centres[-1], centres[-1] + pitch),
    )
    edge = int(0.3 * pitch)  # paper that is taken along at both ends
    first = max(before[-1][1] - edge, before[-1][0]) if before else 0 if centres[0] < pitch else None
    last = min(after[0][0] + edge, after[0][1]) if after else len(is_free) if len(is_free) - centres[-1] < pitch else None
    if first is None or last is None:
        return None
    bounds = [column if column is not None else int(sum(pair) / 2) for column, pair in zip(between, pairwise(centres))]
    top, bottom = _vertical_extent(ink, [first, *bounds, last])
    if bottom - top < MIN_LETTER:
        return None
    thickness = _thickness(ink[:, first:last]) / (bottom - top)
    return CutLine(ink, text, (first, *between, last), top, bottom, pitch / (bottom - top), thickness)


def _free_runs(is_free: np.ndarray, left: float, right: float) -> list[tuple[int, int]]:
    """Runs of columns without ink between two places: their first column, and the one after their last."""
    left, right = max(int(left), 0), min(int(right), len(is_free))
    changes = np.flatnonzero(np.diff(np.r_[False, is_free[left:right], False]))
    return [(left + int(start), left + int(end)) for start, end in changes.reshape(-1, 2)]


def _widest(runs: list[tuple[int, int]]) -> tuple[int, int] | None:
    return max(runs, key=lambda run: run[1] - run[0], default=None)


def _middle(run: tuple[int, int] | None) -> int | None:
    return None if run is None else sum(run) // 2


def _vertical_extent(ink: np.ndarray, bounds: list[int]) -> tuple[float, float]:
    """Where the letters begin and end: the median over the largest piece of ink between each two bounds."""
    tops, bottoms = [], []
    for left, right in pairwise(bounds):
        count, _, boxes, _ = cv2.connectedComponentsWithStats(
            (ink[:, left : max(right, left + 1)] >= INK_LEVEL).astype(np.uint8)
        )
        if count > 1:
            box = boxes[1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))]
            tops.append(box[cv2.CC_STAT_TOP])
            bottoms.append(box[cv2.CC_STAT_TOP] + box[cv2.CC_STAT_HEIGHT])
    return (float(np.median(tops)), float(np.median(bottoms))) if tops else (0.0, 0.0)


def _thickness(ink: np.ndarray) -> float:
    """Area of the strokes per length of their outline, px."""
    strokes = (ink >= INK_LEVEL).astype(np.uint8)
    outline = strokes - cv2.erode(strokes, np.ones((3, 3), np.uint8))
    return int(strokes.sum()) / max(int(outline.sum()), 1)


# Putting together ----------------------------------------------------------------------------------------------------


class Splicer:
    """Composes names of the letters of lines.

    Args:
        lines: to take the letters from, at least one.
    """

    def __init__(self, lines: list[CutLine]):
        limits = np.quantile([line.thickness for line in lines], np.arange(1, THICKNESSES) / THICKNESSES).tolist()
        self.lines = sorted(lines, key=lambda line: (bisect_left(limits, line.thickness), line.spacing))
        self.pieces = lru_cache(None)(self._pieces)

    def compositions(
        self, frequencies: Mapping[str, float], count: int, rng: np.random.Generator
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Draw texts with the square root of their frequency and compose them: pairs of text and ink (H, W).

        Raises:
            ValueError: fewer than one text in twenty can be composed.
        """
        texts, weights = list(frequencies), np.sqrt(list(frequencies.values()))
        tried = done = 0
        while done < count:
            for choice in rng.choice(len(texts), size=1000, p=weights / weights.sum()):
                tried += 1
                ink = self.compose(texts[choice], int(rng.integers(len(self.lines))), rng)
                if ink is not None and done < count:
                    done += 1
                    yield texts[choice], ink
            if done < min(count, tried / 20):
                raise ValueError(
                    f"only {done} of {tried} texts, such as {texts[choice]!r}, consist of letters of these lines"
                )

    def compose(self, text: str, place: int, rng: np.random.Generator) -> np.ndarray | None:
        """Write a text into a line, in place of its own, with letters of similar lines.

        Args:
            text: to write.
            place: of the line in `self.lines`.
            rng: draws the pieces.
        Returns:
            (H, W) uint8 ink; None if letters are missing, or their sizes differ too much.
        """
        line, columns, start = self.lines[place], [], 0
        while start < len(text):
            piece = self._draw(text, start, place, rng)
            fitted = _fit(piece, line, rng) if piece else None
            if fitted is None:
                return None
            columns.append(fitted)
            start += piece[2] - piece[1]
        before = [line.ink[:, : line.cuts[0]]] if rng.random() < MARGIN_KEPT else []
        after = [line.ink[:, line.cuts[-1] :]] if rng.random() < MARGIN_KEPT else []
        return np.hstack([*before, *columns, *after])

    def _draw(self, text: str, start: int, place: int, rng: np.random.Generator) -> tuple[CutLine, int, int] | None:
        """A piece that writes the next characters of a text, but never the whole of it."""
        pieces = self.pieces(place // BLOCK)
        for length in [*rng.permutation(PIECE_LENGTHS), 1]:
            found = pieces.get(text[start : start + length], []) if length < len(text) else []
            if found and start + length <= len(text):
                return found[rng.integers(len(found))]
        return None

    def _pieces(self, block: int) -> dict[str, list[tuple[CutLine, int, int]]]:
        """For each short text its pieces in the lines around a block: the line, and between which of its cuts."""
        first = min(max(block * BLOCK - (NEIGHBOURS - BLOCK) // 2, 0), max(len(self.lines) - NEIGHBOURS, 0))
        pieces = defaultdict(list)
        for line in self.lines[first : first + NEIGHBOURS]:
            for start in range(len(line.text)):
                for end in range(start + 1, min(start + LONGEST_PIECE, len(line.text)) + 1):
                    if line.cuts[start] is not None and line.cuts[end] is not None:
                        pieces[line.text[start:end]].append((line, start, end))
        return dict(pieces)


def _fit(piece: tuple[CutLine, int, int], line: CutLine, rng: np.random.Generator) -> np.ndarray | None:
    """A piece at the size and the height of a line's letters: (H, w) ink; None if the sizes differ too much."""
    source, start, end = piece
    scale = line.height / source.height * np.exp(rng.normal(0, 0.06))
    if not 1 / MAX_SCALE < scale < MAX_SCALE:
        return None
    top = max(int(source.top - ABOVE_AND_BELOW * source.height), 0)
    bottom = int(source.bottom + ABOVE_AND_BELOW * source.height)
    ink = source.ink[top:bottom, source.cuts[start] : source.cuts[end]]
    size = (max(round(ink.shape[1] * scale), 1), max(round(ink.shape[0] * scale), 1))
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((len(line.ink), size[0]), np.uint8)
    row = round(line.top - (source.top - top) * scale + rng.normal(0, 0.02 * line.height))  # of the piece's first row
    first, last = max(row, 0), min(row + size[1], len(canvas))
    canvas[first:last] = ink[first - row : last - row]
    return canvas


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0, or 2 for an error, which is printed without a traceback.
    """
    parser = argparse.ArgumentParser(prog="python -m hwrlib.sources.splices", description=__doc__.splitlines()[0])
    parser.add_argument("data", help="the data set whose training lines are cut")
    parser.add_argument("--out", default="data/spliced", help="folder to create (default: %(default)s)")
    parser.add_argument("--count", type=int, default=20_000, help="number of images (default: %(default)s)")
    parser.add_argument("--checkpoint", default="names", help="a model that reads these lines (default: %(default)s)")
    parser.add_argument("--text", help="texts, or a CSV with the columns text and frequency (default: French names)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        texts = read_texts(options.text) if options.text else None
        frequencies = Counter(texts) if isinstance(texts, list) else texts
        cut = splice(
            options.data,
            options.out,
            count=options.count,
            checkpoint=options.checkpoint,
            frequencies=frequencies,
            seed=options.seed,
        )
    except (ValueError, OSError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {options.count} images, spliced of the letters of {cut} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
