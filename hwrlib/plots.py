"""Every figure of the course. Each helper returns a ``Figure``; nothing here computes what a lesson teaches.

Ink is drawn dark on white with fixed limits, so that two images can be compared; an error is marked by a sign as well
as by a colour.
"""

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hwrlib.metrics import ConfidenceBin, Edit, align
from hwrlib.recognizer import Reading

DPI = 75
PAGE, GAP, TITLE, BESIDE = 800, 8, 16, 150   # px: a sheet, between its columns, above a line, beside a batch
CORRECT, WRONG, QUIET = "#1b7837", "#b2182b", "#666666"


def _new(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure that a notebook shows once, as the value of its cell, and its axes (rows, columns)."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), dpi=DPI, squeeze=False, layout="constrained",
                                **options)
    plt.close(figure)
    return figure, axes


def show_ink(axes, ink: np.ndarray, title: str = "", *, colour: str = "black") -> None:
    """One image of ink (H, W) on an axis, dark on white, with its title; full ink is 255 or 1."""
    if ink.dtype == np.uint8:
        ink = ink // 32 * 36   # 8 grey levels keep the picture's file small
    axes.imshow(ink, cmap="gray_r", vmin=0, vmax=255 if ink.dtype == np.uint8 else 1, aspect="equal")
    axes.set_title(title, fontsize=9, color=colour, loc="left", pad=2)
    axes.set_xticks([]), axes.set_yticks([])


def lines(images: Sequence[np.ndarray], titles: Sequence[str] | None = None, *, columns: int = 3) -> Figure:
    """Lines of ink in a grid, each under its title.

    Args:
        images: arrays (H, W) of ink.
        titles: one for each image.
        columns: of the grid.
    """
    rows = -(-len(images) // columns)
    figure, axes = _new(3.2 * columns, 0.85 * rows, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles or [""] * len(images)):
        show_ink(axis, image, title)
    return figure


def curves(history: pd.DataFrame, *, baseline: float | None = None) -> Figure:
    """Losses and validation CER by epoch.

    Args:
        history: a row an epoch, as :func:`hwrlib.train.fit` keeps it.
        baseline: a CER (a fraction) to draw as a dotted line.
    """
    figure, ((loss, error),) = _new(8, 2.8, 1, 2)
    loss.plot(history["epoch"], history["train_loss"], "o-", label="train (augmented, with the shortcut's)")
    loss.plot(history["epoch"], history["validation_loss"], "s--", label="validation")
    loss.set(xlabel="epoch", ylabel="CTC loss (nats a character)", yscale="log")
    loss.legend(fontsize=8)
    error.plot(history["epoch"], 100 * history["validation_cer"], "s--", color="C1", label="validation")
    if baseline is not None:
        error.axhline(100 * baseline, color=QUIET, linestyle=":", label=f"{baseline:.0%}: read nothing")
    error.set(xlabel="epoch", ylabel="CER (%)", yscale="log")
    error.legend(fontsize=8)
    return figure


def trellis(alpha, text: str) -> Figure:
    """The forward variables of CTC as a picture: frames to the right, the label with its blanks downwards.

    Args:
        alpha: (T, 2S + 1) logarithms.
        text: the label, S characters.
    """
    alpha = np.asarray(alpha, dtype=float)
    share = np.exp(alpha - alpha.max(axis=1, keepdims=True))   # of each frame's likeliest state
    figure, ((axis,),) = _new(8, 0.6 + 0.14 * alpha.shape[1])
    axis.imshow(share.T, cmap="gray_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axis.set_yticks(range(alpha.shape[1]), ["–" if s % 2 == 0 else text[s // 2] for s in range(alpha.shape[1])],
                    fontsize=7)
    axis.set(xlabel="frame", ylabel="label, with blanks (–)")
    return figure


# Looking at data -------------------------------------------------------------------------------------------------

def sheet(images: Sequence[np.ndarray], titles: Sequence[str] = (), *, columns: int | None = None,
          framed: bool = False) -> Figure:
    """Lines of any width in a grid, pixel for pixel unless the page is too narrow for them, each under its title.

    Args:
        images: arrays (H, W) of ink; a scan in grey is given as ``255 - grey``.
        titles: one for each image, or for the first ones.
        columns: of the grid; by default as many as fit, at most four.
        framed: draw a line around each image, so that its size is seen.
    """
    widest = max(image.shape[1] for image in images)
    columns = columns or int(np.clip(1.25 * PAGE // (widest + GAP), 1, 4))
    cell = PAGE // columns
    images = [_eight_greys(image, min(1, (cell - GAP) / widest)) for image in images]
    heights = [max(map(len, images[n:n + columns])) + TITLE for n in range(0, len(images), columns)]
    tops = np.cumsum([0, *heights])
    canvas = np.zeros((tops[-1] + 1, PAGE), np.uint8)
    axis = _pixels(canvas.shape)
    for n, image in enumerate(images):
        (height, width), x, y = image.shape, n % columns * cell, tops[n // columns] + TITLE
        canvas[y:y + height, x:x + width] = image
        if framed:
            axis.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=QUIET, linewidth=0.5))
        if n < len(titles):
            axis.text(x, y - 3, _shortened(titles[n], cell // 6), fontsize=9)
    axis.imshow(canvas, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest", extent=(0, PAGE, len(canvas), 0))
    return axis.figure


def _pixels(shape: tuple[int, int]):
    """A bare axis that fills a figure of (H, W) px, so that images are drawn without being resampled."""
    height, width = shape
    figure = plt.figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    plt.close(figure)
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    return axis


def _eight_greys(image: np.ndarray, scale: float) -> np.ndarray:
    """Ink (H, W) as uint8 in 8 levels, which keep the picture's file small, made smaller where ``scale`` is below 1."""
    image = image if image.dtype == np.uint8 else (255 * image).astype(np.uint8)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return image // 32 * 36


def histograms(values: dict[str, Sequence[float]]) -> Figure:
    """A histogram of each quantity, side by side.

    Args:
        values: what the axis says (with the unit), and the numbers.
    """
    figure, axes = _new(10, 2.2, 1, len(values))
    for axis, (label, numbers) in zip(axes.flat, values.items()):
        low, high = np.min(numbers), np.max(numbers)
        axis.hist(numbers, bins=np.linspace(low - 0.5, high + 0.5, int(min(high - low + 1, 40)) + 1), color=QUIET)
        axis.set(xlabel=label, xlim=(low - 2, high + 2))
    axes[0, 0].set_ylabel("lines")
    return figure


def frequencies(counts: pd.Series, *, most: int = 60) -> Figure:
    """How often each character occurs, the commonest first, on a logarithmic axis; the space is drawn as ␣.

    Args:
        counts: occurrences by character.
        most: characters that are drawn.
    """
    counts = counts.sort_values(ascending=False, kind="stable").head(most)
    figure, ((axis,),) = _new(10, 2.4)
    axis.bar(range(len(counts)), counts, color=QUIET)
    axis.set_xticks(range(len(counts)), [_shortened(str(c).replace(" ", "␣"), 4) for c in counts.index])
    axis.set(yscale="log", ylabel="occurrences", xlabel="character", xlim=(-0.7, len(counts) - 0.3))
    return figure


def padding(images: np.ndarray, image_widths: Sequence[int], texts: Sequence[str]) -> Figure:
    """Lines of a batch as they lie in its tensor, one under the other; the padding is hatched.

    Args:
        images: (N, 1, H, W) uint8 ink.
        image_widths: (N,) px of each that are not padding.
        texts: the labels, written beside.
    """
    images = np.asarray(images)[:, 0]
    scale = min(1, (PAGE - BESIDE) / images.shape[2])
    rows = [_eight_greys(image, scale) for image in images]
    height, full = rows[0].shape
    axis = _pixels((height * len(rows) + TITLE, full + BESIDE))
    axis.imshow(np.concatenate(rows), cmap="gray_r", vmin=0, vmax=255, interpolation="nearest",
                extent=(0, full, height * len(rows), 0))
    for n, (image_width, text) in enumerate(zip(image_widths, texts)):
        left, top = float(image_width) * scale, n * height
        axis.add_patch(Rectangle((0, top), full, height, fill=False, edgecolor=QUIET, linewidth=0.5))
        axis.add_patch(Rectangle((left, top), full - left, height, facecolor="#d9e6f2", edgecolor="#7f9db9",
                                 hatch="//", linewidth=0))
        axis.text(full + 6, top + height / 2, _shortened(text, 22), fontsize=9, verticalalignment="center")
    axis.text(full, height * len(rows) + TITLE - 2, f"{images.shape[2]} px", fontsize=9, horizontalalignment="right")
    return axis.figure


def frames_and_needs(frames: Sequence[int], needed: Sequence[int]) -> Figure:
    """Frames of each line's image against the frames that its label needs; below the diagonal CTC fails.

    Args:
        frames, needed: one of each a line; a darker point is more lines.
    """
    frames, needed = np.asarray(frames), np.asarray(needed)
    lines = np.zeros((frames.max() + 2, max(needed.max(), 10) + 2))
    np.add.at(lines, (frames, needed), 1)
    short = frames < needed
    figure, ((axis,),) = _new(7, 3)
    axis.imshow(np.log1p(lines), cmap="gray_r", origin="lower", aspect="auto", interpolation="nearest")
    axis.plot([0, len(lines[0]) - 1], [0, len(lines[0]) - 1], color=QUIET, linestyle=":", label="frames = needed")
    if short.any():
        axis.scatter(needed[short], frames[short], s=24, color=WRONG, marker="x", label="too few frames")
    axis.set(xlabel="frames that the label needs", ylabel="frames of the image", ylim=(0, None))
    axis.locator_params(axis="x", integer=True)
    axis.legend(fontsize=8, loc="upper right", framealpha=1)
    return figure


def _shortened(text: str, limit: int) -> str:
    """A text for a title: cut at the limit, and its dollar signs no mathematics."""
    return (text if len(text) <= limit else text[:limit - 1] + "…").replace("$", r"\$")


# Readings --------------------------------------------------------------------------------------------------------

SIGNS = {"equal": " ", "substitute": "×", "delete": "–", "insert": "+"}


def readings(images: Sequence[np.ndarray], truths: Sequence[str], predictions: Sequence[str], *,
             notes: Sequence[str] | None = None) -> Figure:
    """Lines with the truth above and the reading below; under a wrong character × , a missed one –, an invented one +.

    Short lines stand three abreast, long ones below each other.

    Args:
        images: N arrays (H, W) of ink.
        truths: N labels; an empty one is unknown, and the reading is shown without marks.
        predictions: N readings.
        notes: a few words to stand at the right of each truth.
    """
    longest = max(map(len, [*truths, *predictions]), default=0)
    columns = 3 if longest <= 24 else 1
    rows = max(-(-len(images) // columns), 1)
    figure, axes = _new(9.6, 1.1 * rows, rows, columns)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, truth, prediction, note in zip(axes.flat, images, truths, predictions,
                                                    notes or [""] * len(images)):
        _show_reading(axis, _miniature(image, 225 if columns == 3 else 700), truth, prediction, note)
    return figure


def _show_reading(axes, image: np.ndarray, truth: str, prediction: str, note: str) -> None:
    """One line of :func:`readings`."""
    show_ink(axes, image)
    axes.images[0].set_interpolation("nearest")
    axes.set_anchor("W")
    edits = align(truth, prediction) if truth else [Edit("equal", "", character) for character in prediction]
    right = "".join((edit.hypothesis or " ") if edit.kind == "equal" else " " for edit in edits)
    wrong = "".join(" " if edit.kind == "equal" else (edit.hypothesis or " ") for edit in edits)
    signs = "".join(SIGNS[edit.kind] for edit in edits)
    _monospaced(axes, "".join(edit.reference or " " for edit in edits), 3, "black", above=True)
    _monospaced(axes, right, -2, CORRECT)
    _monospaced(axes, wrong, -2, WRONG)
    _monospaced(axes, signs, -12, WRONG)
    axes.annotate(note, (1, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", fontsize=8, color=QUIET,
                  ha="right", va="bottom")


def _miniature(image: np.ndarray, width: int, height: int = 45) -> np.ndarray:
    """An image (H, W) shrunk to fit, in 8 grey levels: a page of such lines makes a small file."""
    scale = min(width / image.shape[1], height / image.shape[0], 1)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) // 32 * 36


def _monospaced(axes, text: str, points: float, colour: str, *, above: bool = False) -> None:
    """Text of one letter width, so that lines written over each other align, above or below an axis."""
    size = 9 if len(text) <= 100 else 900 / len(text)
    axes.annotate(text, (0, 1 if above else 0), (0, points), xycoords="axes fraction", textcoords="offset points",
                  fontsize=size, family="monospace", color=colour, va="bottom" if above else "top",
                  parse_math=False)


def confusions(matrix: pd.DataFrame) -> Figure:
    """Counts of errors: the true character at the left, what was read below.

    Args:
        matrix: as :func:`hwrlib.metrics.confusion_matrix` gives it.
    """
    side = 1.4 + 0.34 * len(matrix)
    figure, ((axes,),) = _new(side + 0.4, side)
    shown = np.sqrt(matrix.to_numpy(float))   # the root, so that a count of 1 can be seen beside one of 50
    axes.imshow(shown, cmap="Reds", vmin=0, vmax=max(1.6 * shown.max(), 1))
    for row, column in zip(*np.nonzero(matrix.to_numpy())):
        axes.text(column, row, str(matrix.iat[row, column]), ha="center", va="center", fontsize=9)
    for place in range(len(matrix) - 1):
        axes.text(place, place, "·", ha="center", va="center", color=QUIET, fontsize=16)   # right readings: not counted
    names = ["␣" if name == " " else name for name in matrix.index[:-1]]
    axes.set_xticks(range(len(matrix)), [*names, "missed"], parse_math=False)
    axes.set_yticks(range(len(matrix)), [*names, "invented"], parse_math=False)
    axes.get_xticklabels()[-1].set_rotation(90)
    axes.hlines(len(matrix) - 1.5, -0.5, len(matrix) - 0.5, color=QUIET, linewidth=0.8)
    axes.vlines(len(matrix) - 1.5, -0.5, len(matrix) - 0.5, color=QUIET, linewidth=0.8)
    axes.set(xlabel="character read", ylabel="true character")
    return figure


def rates(table: pd.DataFrame, *, overall: float, xlabel: str, ylabel: str = "CER (%)") -> Figure:
    """An error rate in each of several groups of lines, with its interval, and over all of them as a dotted line.

    Args:
        table: a row a group, its index the names; columns rate, low, high (fractions) and lines.
        overall: the rate of all lines, a fraction.
        xlabel: what the groups are.
        ylabel: what the rate is.
    """
    figure, ((axes,),) = _new(7, 2.8)
    rate, low, high = (100 * table[column].to_numpy(float) for column in ("rate", "low", "high"))
    places = np.arange(len(table))
    axes.bar(places, rate, color="C0", alpha=0.6)
    axes.errorbar(places, rate, [np.maximum(rate - low, 0), np.maximum(high - rate, 0)], fmt="none", ecolor="black",
                  capsize=3, linewidth=1)
    axes.axhline(100 * overall, color=QUIET, linestyle=":", label=f"all lines: {overall:.1%}")
    axes.set_xticks(places, [f"{name}\nn={lines}" for name, lines in zip(table.index, table["lines"])], fontsize=8)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(fontsize=8)
    return figure


def reliability(bins: Sequence[ConfidenceBin], exact_among_surest: np.ndarray, *, share: float = 0.9) -> Figure:
    """Confidence against the share of right readings, and how right the surest readings are.

    Args:
        bins: as :func:`hwrlib.metrics.reliability` gives them.
        exact_among_surest: (N,) fractions, as :func:`hwrlib.metrics.exact_among_surest` gives them.
        share: of the readings to mark on the second curve.
    """
    figure, ((claim, sure),) = _new(8, 2.8, 1, 2)
    claim.plot([0, 100], [0, 100], color=QUIET, linestyle=":", label="as claimed")
    claim.plot([100 * part.confidence for part in bins], [100 * part.exact for part in bins], "o-", label="measured")
    claim.set(xlabel="mean confidence of a bin (%)", ylabel="exact in the bin (%)", xlim=(-2, 102), ylim=(-2, 102))
    claim.legend(fontsize=8)
    count = len(exact_among_surest)
    sure.plot(100 * np.arange(1, count + 1) / count, 100 * exact_among_surest)
    marked = exact_among_surest[max(round(share * count), 1) - 1]
    sure.plot(100 * share, 100 * marked, "o", color=CORRECT, label=f"surest {share:.0%}: {marked:.1%} exact")
    sure.plot(100, 100 * exact_among_surest[-1], "s", color=WRONG, label=f"all: {exact_among_surest[-1]:.1%} exact")
    sure.set(xlabel="surest readings kept (%)", ylabel="exact among them (%)")
    sure.legend(fontsize=8, loc="lower left")
    return figure


# Frames ----------------------------------------------------------------------------------------------------------

FRAMES_A_STRIP = 96


def spans(image: np.ndarray, reading: Reading, truth: str = "") -> Figure:
    """The text over its image, every character over the span of frames that it was read from.

    Args:
        image: (H, W) ink, in the pixels that the reading's spans count.
        reading: of this image.
        truth: the label, where there is one.
    """
    height, width = image.shape
    figure, ((axes,),) = _new(9.6, 9.0 * min(height / width, 0.35) + 0.8)
    show_ink(axes, image)
    for place, character in enumerate(reading.characters):
        middle = (character.start + character.end) / 2
        axes.axvspan(character.start, character.end, color=f"C{place % 2}", alpha=0.25, linewidth=0)
        axes.annotate("␣" if character.text == " " else character.text, (middle, 1), (0, 1), ha="center", va="bottom",
                      xycoords=("data", "axes fraction"), textcoords="offset points", color=f"C{place % 2}",
                      fontsize=14 if len(reading.text) <= 24 else 8, parse_math=False)
    mark = "" if not truth else ("  ✓ truth: " if truth == reading.text else "  × truth: ") + truth
    axes.set_xlabel(f"read: {reading.text}{mark}", fontsize=10, parse_math=False,
                    color=CORRECT if truth == reading.text else WRONG if truth else "black")
    return figure


def ctc_frames(image: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, left: float,
               pixels: float) -> Figure:
    """An image and, pixel under pixel, what CTC says in each frame: the blank grey, the likely characters coloured.

    Long lines are cut into strips of at most 96 frames.

    Args:
        image: (H, W) ink.
        probabilities: (T, C).
        names: C names of the classes; class 0 is the blank.
        left: px of the image at which frame 0 begins.
        pixels: px a frame.
    """
    strips = -(-len(probabilities) // FRAMES_A_STRIP)
    length = -(-len(probabilities) // strips) * pixels   # px of a strip
    heights = [8.6 * min(image.shape[0] / length, 0.4), 1.5] * strips
    figure, axes = _new(9.6, sum(heights) + 0.5 * strips, 2 * strips, 1, height_ratios=heights)
    centres = left + pixels * (np.arange(len(probabilities)) + 0.5)
    for strip, (ink, curve) in enumerate(axes.reshape(strips, 2)):
        limits = (left + strip * length, left + (strip + 1) * length)
        show_ink(ink, image)
        ink.set(aspect="auto", xlim=limits)
        _draw_classes(curve, centres, probabilities, names, limits)
        curve.set(xlim=limits, ylim=(0, 1.25), ylabel="probability", yticks=[0, 0.5, 1])
    axes[-1, 0].set_xlabel(f"px of the image (a frame is {pixels:.1f} px); grey: the blank")
    return figure


def _draw_classes(axes, centres: np.ndarray, probabilities: np.ndarray, names: Sequence[str],
                  limits: tuple[float, float]) -> None:
    """Every class that is ever likely, as a curve over the frames, named at its peaks; the blank as a grey ground."""
    axes.fill_between(centres, probabilities[:, 0], color=QUIET, alpha=0.25, linewidth=0, step="mid")
    for index in 1 + np.flatnonzero(probabilities[:, 1:].max(0) >= 0.1):
        curve, colour = probabilities[:, index], f"C{index % 10}"
        seen = curve >= 0.05
        axes.plot(centres, curve, linewidth=1, color=colour)
        axes.plot(centres[seen], curve[seen], "o", markersize=3, color=colour)
        before, after = np.pad(curve, 1)[:-2], np.pad(curve, 1)[2:]
        for t in np.flatnonzero((curve >= 0.1) & (curve > before) & (curve >= after)):
            if limits[0] <= centres[t] < limits[1]:
                axes.annotate("␣" if names[index] == " " else names[index], (centres[t], curve[t]), (0, 2), ha="center",
                              textcoords="offset points", fontsize=11 if curve[t] >= 0.5 else 8, color=colour,
                              parse_math=False)
