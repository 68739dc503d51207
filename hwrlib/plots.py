"""Every figure of the course. Each function returns a `Figure`; none computes what a lesson teaches.

Ink is drawn dark on white with fixed limits, so that images can be compared. Errors are marked by a sign as well as by
a colour. Labels are never parsed as mathematics: a dollar sign is a dollar sign.
"""

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullLocator

from hwrlib.metrics import Edit, align
from hwrlib.models import diagnosis
from hwrlib.pages.ink import page_ink
from hwrlib.pages.line import Line, Sheet
from hwrlib.reader import Reading

DPI = 110
PAGE, GAP, TEXT = 880, 14, 18  # px: width of a page, space between two images, height of a line of text
SHOWN = 800  # px, the longer side of a whole page in a figure
CORRECT, WRONG, QUIET = "#1b7837", "#b2182b", "#666666"
SIGNS = {"equal": " ", "substitute": "×", "delete": "-", "insert": "+"}
LABEL = {"fontsize": 9, "parse_math": False}  # how a text of the data is written
NOTE = {**LABEL, "textcoords": "offset points"}
Images = Sequence[np.ndarray]  # of ink (H, W)


def _new(height: float, rows: int = 1, columns: int = 1, *, width: float = PAGE / DPI, **options):
    """A figure, in inches, that a notebook shows once, as the value of its cell; and its axes (rows, columns)."""
    options = {"figsize": (width, height), "dpi": DPI, "squeeze": False, "layout": "constrained", **options}
    figure, axes = plt.subplots(rows, columns, **options)
    plt.close(figure)
    return figure, axes


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain_log(axes: Axes) -> None:
    """Make the y-axis logarithmic, with ticks at plain numbers: 1, 2, 3, 5, 10, ..., or 1, 10, ... if it spans many."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high < 100 * low else (1,), numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g}")


def _draw(axes: Axes, image: np.ndarray, box: tuple[float, float, float, float], interpolation: str = "nearest") -> None:
    """An image of 0 ... 255 in a box (left, right, bottom, top) of an axis, dark on white."""
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, aspect="auto", extent=box, interpolation=interpolation)


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """Ink (H, W), uint8 or 0 ... 1, at another size: uint8 in 8 levels, which keep the picture's file small."""
    image = image if image.dtype == np.uint8 else (255 * image).astype(np.uint8)
    if scale != 1:
        size = tuple(max(round(side * scale), 1) for side in image.shape[::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return image // 32 * 36


def _columns(images: Images) -> int:
    """Columns of a grid in which the widest image keeps at least four fifths of its size; at most three."""
    widest = max((image.shape[1] for image in images), default=PAGE)
    return int(np.clip(1.25 * PAGE // (widest + GAP), 1, 3))


def _grid(images: Images, columns: int, *, head: int = GAP, foot: int = 0, framed: bool = False) -> tuple[Axes, list[tuple]]:
    """Scaled images in a grid, pixel for pixel, with px of room for text above and below; those with a foot stand on a line.

    Returns:
        A bare axis that counts the pixels of the page, and the left, top, width and height of each image.
    """
    heights = [max(map(len, images[n : n + columns])) for n in range(0, len(images), columns)]
    tops = np.cumsum([0, *(head + height + foot for height in heights)]).tolist()
    figure = plt.figure(figsize=(PAGE / DPI, (tops[-1] + GAP) / DPI), dpi=DPI)
    plt.close(figure)
    axes, boxes = figure.add_axes((0, 0, 1, 1)), []
    for n, image in enumerate(images):
        (height, width), row, x = image.shape, n // columns, n % columns * (PAGE // columns)
        y = tops[row] + head + (heights[row] - height if foot else 0)
        _draw(axes, image, (x, x + width, y + height, y))
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=QUIET, linewidth=0.4, visible=framed))
        boxes.append((x, y, width, height))
    axes.set(xlim=(0, PAGE), ylim=(tops[-1] + GAP, 0))
    axes.set_axis_off()
    return axes, boxes


def sheet(images: Images, titles: Sequence[str] = (), *, columns: int | None = None, framed: bool = False) -> Figure:
    """Lines of any width in a grid, all at one scale, each under its title.

    Args:
        images: ink (H, W), uint8 or 0 ... 1; a grey scan is given as `255 - grey`.
        titles: one for each image, or for the first ones.
        columns: of the grid; by default one to three, by the widest image. Narrow images are enlarged up to twice.
        framed: outline each image, so that its size is seen.
    """
    columns = columns or _columns(images)
    cell = PAGE // columns
    scale = min((cell - GAP) / max((image.shape[1] for image in images), default=cell), 2)
    scaled = [_scaled(image, scale) for image in images]
    axes, boxes = _grid(scaled, columns, head=TEXT + 8 if len(titles) else GAP, framed=framed)
    for title, (x, y, _, _) in zip(titles, boxes):
        axes.text(x, y - 4, _shortened(title, cell // 8), **LABEL)
    return axes.figure


def stages(images: Images, titles: Sequence[str]) -> Figure:
    """One line at the stages of its preparation, numbered from left to right, at one scale, each with its size."""
    named = enumerate(zip(titles, images), start=1)
    titles = [f"{n}. {title}: {image.shape[1]} × {image.shape[0]} px" for n, (title, image) in named]
    return sheet(images, titles, framed=True)


def readings(images: Images, truths: Sequence[str], predictions: Sequence[str], *, notes: Sequence[str] = ()) -> Figure:
    """Lines, each with the truth above the reading; under a wrong character ×, a missed one -, an invented one +.

    To compare two models, give the lines twice, with the readings of one and then of the other.

    Args:
        images: N of ink (H, W), uint8 or 0 ... 1.
        truths: N labels; an empty one is unknown, and its reading is shown without signs.
        predictions: N readings.
        notes: none, or a few words for each line, written at the right of the truth.
    """
    longest = max(map(len, [*truths, *predictions, " "]))
    columns = min(_columns(images), max(PAGE // (11 * longest), 1))  # a letter and some room for a note: 11 px
    cell = PAGE // columns - GAP
    scaled = [_scaled(image, min(cell / image.shape[1], 90 / image.shape[0], 2)) for image in images]
    axes, boxes = _grid(scaled, columns, foot=3 * TEXT, framed=True)
    for (x, y, _, height), truth, prediction, note in zip(boxes, truths, predictions, [*notes] or [""] * len(images)):
        _write_reading(axes, x, y + height + 3, cell - 60 * bool(note), truth, prediction)
        axes.text(x + cell, y + height + 3, note, color=QUIET, ha="right", va="top", **LABEL)
    return axes.figure


def _write_reading(axes: Axes, x: float, y: float, width: float, truth: str, prediction: str) -> None:
    """Truth, reading and signs under each other in letters of one width; smaller ones for a text that is too long."""
    edits = align(truth, prediction) if truth else [Edit("equal", "", character) for character in prediction]
    size = min(10, width / max(len(edits), 1) / 0.61 * 72 / DPI)  # points; a letter is 0.6 of its size wide
    style = {"fontsize": size, "family": "monospace", "va": "top", "parse_math": False}
    right = "".join(edit.hypothesis if edit.kind == "equal" else " " for edit in edits)
    wrong = "".join(" " if edit.kind == "equal" else (edit.hypothesis or " ") for edit in edits)
    axes.text(x, y, "".join(edit.reference or " " for edit in edits).rstrip(), **style)
    axes.text(x, y + TEXT - 1, right.rstrip(), color=CORRECT, **style)
    axes.text(x, y + TEXT - 1, wrong.rstrip(), color=WRONG, **style)
    axes.text(x, y + 1.7 * TEXT, "".join(SIGNS[edit.kind] for edit in edits).rstrip(), color=WRONG, **style)


def padding(images: np.ndarray, image_widths: Sequence[int], texts: Sequence[str]) -> Figure:
    """Lines of a batch as they lie in its tensor, one under the other; the padding is hatched.

    Args:
        images: (N, 1, H, W) uint8 ink.
        image_widths: (N,) px of each image that are not padding.
        texts: N labels, written beside the lines.
    """
    import torch  # here, so that the other figures need neither
    from torchvision.utils import make_grid

    rule, height = 2, images.shape[2]
    strip = make_grid(torch.as_tensor(np.asarray(images)), nrow=1, padding=rule, pad_value=90)[0].numpy()
    scale = min(0.75 * PAGE / strip.shape[1], 1.5)
    axes, ((_, top, right, strip_height),) = _grid([_scaled(strip, scale)], 1, foot=TEXT)
    hatched = {"facecolor": "#d9e6f2", "edgecolor": "#7f9db9", "hatch": "//", "linewidth": 0}
    for n, (image_width, text) in enumerate(zip(image_widths, texts)):
        x, y = (int(image_width) + rule) * scale, top + (n * (height + rule) + rule) * scale
        axes.add_patch(Rectangle((x, y), right - x - rule, height * scale, **hatched))
        axes.text(right + 8, y + height * scale / 2, _shortened(text, 26), va="center", **LABEL)
    axes.text(right, top + strip_height + 4, f"{images.shape[3]} px", fontsize=9, ha="right", va="top")
    return axes.figure


def histograms(values: dict[str, Sequence[float]]) -> Figure:
    """A histogram of each quantity, side by side; `values` maps what the axis says (with the unit) to the numbers."""
    figure, axes = _new(2.3, 1, len(values))
    for axis, (label, numbers) in zip(axes.flat, values.items()):
        low, high = np.min(numbers), np.max(numbers)
        axis.hist(numbers, bins=np.linspace(low - 0.5, high + 0.5, int(min(high - low + 1, 40)) + 1), color=QUIET)
        axis.set(xlabel=label, xlim=(low - 2, high + 2))
    axes[0, 0].set_ylabel("lines")
    return figure


def frequencies(counts: pd.Series, *, most: int = 60) -> Figure:
    """How often each character of the index occurs: the `most` frequent ones first, the space drawn as ␣."""
    counts = counts.sort_values(ascending=False, kind="stable").head(most)
    figure, ((axes,),) = _new(2.5)
    axes.bar(range(len(counts)), counts, color=QUIET)
    axes.set_xticks(range(len(counts)), counts.index.str.replace(" ", "␣"), parse_math=False)
    axes.set(ylabel="occurrences", xlabel="character", xlim=(-0.7, len(counts) - 0.3), ylim=(0.7, 1.5 * counts.max()))
    _plain_log(axes)
    return figure


def frames_and_needs(frames: Sequence[int], needed: Sequence[int]) -> Figure:
    """For every line the frames of its image over the frames that its label needs; below 1, CTC fails."""
    ratio = np.asarray(frames) / np.maximum(needed, 1)
    figure, ((axes,),) = _new(2.7)
    axes.hist(ratio, bins=np.linspace(0, max(ratio.max(), 2), 61), color=QUIET)
    axes.axvspan(0, 1, color=WRONG, alpha=0.15, linewidth=0)
    short = f"× below 1, too few frames: {(ratio < 1).sum():,} of {len(ratio):,} lines"
    axes.set_title(short, fontsize=10, color=WRONG, loc="left")
    axes.axvline(np.median(ratio), color="black", linestyle=":", label=f"median {np.median(ratio):.1f}")
    axes.set(xlabel="frames of the image / frames that its label needs", ylabel="lines", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9, loc="upper right")
    return figure


def curves(history: pd.DataFrame, *, baseline: float | None = None) -> Figure:
    """Losses and validation CER by epoch.

    Args:
        history: a row for each epoch, as `hwrlib.train.fit` keeps it.
        baseline: a CER (a fraction), drawn as a dotted line: above the frame if it is far above the data.
    """
    figure, ((loss, error),) = _new(2.9, 1, 2)
    epoch, percent = history["epoch"], 100 * history["validation_cer"].clip(lower=0.0001)  # a log axis has no zero
    loss.plot(epoch, history["train_loss"], "o-", label="training (with augmentation and shortcut)")
    loss.plot(epoch, history["validation_loss"], "s--", color="C1", label="validation")
    error.plot(epoch, percent, "s--", color="C1")
    last = epoch.iloc[-1], percent.iloc[-1]
    error.annotate(f"{last[1]:.1f} %", last, (0, 8), ha="center", **NOTE)
    loss.set(xlabel="epoch", ylabel="CTC loss (nats per character)")
    error.set(xlabel="epoch", ylabel="validation CER (%)", ylim=(percent.min() / 1.3, percent.max() * 1.5))
    for axes in (loss, error):
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _plain_log(axes)
    loss.legend(fontsize=8)
    if baseline is not None:
        _draw_baseline(error, 100 * baseline, f"{100 * baseline:.0f} %: reading nothing")
    return figure


def curves_of_runs(table: pd.DataFrame, values: dict[str, object], knob: str) -> Figure:
    """Validation CER by epoch of many runs, laid over each other, in the colours of a knob's values.

    Args:
        table: with the columns run, epoch and validation_cer (a fraction), as from `hwrlib.batch.curves`.
        values: of the knob, by run.
        knob: its name.
    """
    figure, ((axes,),) = _new(3.4)
    shown = sorted(set(values.values()), key=str)
    for run, rows in table.groupby("run"):
        number = shown.index(values[run])
        axes.plot(rows["epoch"], 100 * rows["validation_cer"].clip(lower=0.0001), color=f"C{number}", alpha=0.8)
    for number, value in enumerate(shown):
        axes.plot([], [], color=f"C{number}", label=f"{knob} = {value}")
    axes.set(xlabel="epoch", ylabel="validation CER (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _plain_log(axes)
    axes.legend(fontsize=8)
    return figure


def effects(table: pd.DataFrame) -> Figure:
    """What each change of a knob does to the CER, with its standard error, before the range that the seed alone explains.

    Args:
        table: as from `hwrlib.batch.effects`.
    """
    figure, ((axes,),) = _new(0.9 + 0.35 * len(table))
    rows = range(len(table))
    if np.isfinite(noise := table["noise"].max()):
        axes.axvspan(-100 * noise, 100 * noise, color="#dddddd", label="between seeds (one standard deviation)")
    axes.axvline(0, color=QUIET, linewidth=1)
    spread = 100 * table["spread"].fillna(0)
    axes.errorbar(100 * table["difference"], rows, xerr=spread, fmt="o", capsize=3, label="mean, standard error")
    steps = zip(table["knob"], table["from"], table["to"])
    axes.set_yticks(rows, [f"{knob}: {before} → {after}" for knob, before, after in steps], parse_math=False)
    axes.set(xlabel="change of the CER (percentage points); left is better", ylim=(len(table) - 0.5, -0.5))
    axes.legend(fontsize=8)
    return figure


def frontier(table: pd.DataFrame, best: pd.DataFrame) -> Figure:
    """CER against the time of training; the runs that no other beats in both are joined.

    Args:
        table: as from `hwrlib.batch.compare`.
        best: as from `hwrlib.batch.frontier`.
    """
    figure, ((axes,),) = _new(3.4)
    axes.plot(table["seconds"], 100 * table["cer"], "o", color=QUIET, label="runs")
    axes.plot(best["seconds"], 100 * best["cer"], "o-", color="C1", label="beaten by none")
    axes.set(xlabel="training (seconds)", ylabel="CER (%)")
    _plain_log(axes)
    axes.legend(fontsize=8)
    return figure


def _draw_baseline(axes: Axes, percent: float, text: str) -> None:
    """A dotted line at its place or, where that would press the curve flat, above the frame with an arrow upwards."""
    inside = percent <= axes.get_ylim()[1]
    y, along = (percent, axes.get_yaxis_transform()) if inside else (1.06, axes.transAxes)
    axes.plot([0, 1], [y, y], ":", color=QUIET, transform=along, clip_on=False)
    text = text if inside else f"↑ {text}"
    axes.annotate(text, (1, y), (0, 3), xycoords=along, color=QUIET, ha="right", va="bottom", **NOTE)


def suspicion(planted: Sequence[float], others: Sequence[float]) -> Figure:
    """Suspicions in nats of planted wrong labels and of others, in the same bins; the last bin takes infinite ones."""
    planted, others = np.asarray(planted, float), np.asarray(others, float)
    known = np.concatenate([planted, others, [0.0, 1.0]])
    bins = np.histogram_bin_edges(known[np.isfinite(known)], 40)
    figure, ((axes,),) = _new(2.8)
    for values, label, colour, style in [(others, "others", QUIET, "--"), (planted, "planted wrong labels", WRONG, "-")]:
        shown, label = np.minimum(values, bins[-1]), f"{label} (n = {len(values):,})"
        axes.hist(shown, bins, histtype="step", color=colour, linestyle=style, linewidth=1.5, label=label)
    _plain_log(axes)
    axes.set(xlabel="suspicion (nats)", ylabel="labels", xlim=(bins[0], bins[-1]), ylim=(0.7, None))
    axes.legend(fontsize=9)
    return figure


def confusions(matrix: pd.DataFrame) -> Figure:
    """Counts of errors, as `hwrlib.models.diagnosis.confusion_matrix` returns them: true characters left, read ones below."""
    side = 1.4 + 0.34 * len(matrix)
    figure, ((axes,),) = _new(side, width=side + 0.4)
    shown = np.sqrt(matrix.to_numpy(float))  # the root, so that a count of 1 can be seen beside one of 50
    axes.imshow(shown, cmap="Reds", vmin=0, vmax=max(1.6 * shown.max(), 1))
    for row, column in zip(*np.nonzero(matrix.to_numpy())):
        axes.text(column, row, str(matrix.iat[row, column]), ha="center", va="center", fontsize=9)
    axes.plot(range(len(matrix) - 1), range(len(matrix) - 1), ".", color=QUIET, markersize=3)  # right: not counted
    names = matrix.index[:-1].str.replace(" ", "␣")
    axes.set_xticks(range(len(matrix)), [*names, "missed"], parse_math=False)
    axes.set_yticks(range(len(matrix)), [*names, "invented"], parse_math=False)
    axes.get_xticklabels()[-1].set_rotation(90)
    axes.axhline(len(matrix) - 1.5, color=QUIET, linewidth=0.8)
    axes.axvline(len(matrix) - 1.5, color=QUIET, linewidth=0.8)
    axes.set(xlabel="character read", ylabel="true character")
    return figure


def rates(table: pd.DataFrame, *, overall: float, xlabel: str, ylabel: str = "CER (%)") -> Figure:
    """An error rate in each of several groups of lines, with its interval, and over all of them as a dotted line.

    Args:
        table: a row for each group, its index the names; columns rate, low, high (fractions) and lines.
        overall: the rate of all lines, a fraction.
        xlabel, ylabel: of the groups and of the rate.
    """
    figure, ((axes,),) = _new(2.8)
    places, (rate, low, high) = range(len(table)), 100 * table[["rate", "low", "high"]].to_numpy(float).T
    axes.bar(places, rate, color="C0", alpha=0.6)
    axes.errorbar(places, rate, np.maximum([rate - low, high - rate], 0), fmt="none", ecolor="black", capsize=3, linewidth=1)
    axes.axhline(100 * overall, color=QUIET, linestyle=":", label=f"all lines: {100 * overall:.1f} %")
    names = [f"{name}\nn = {lines:,}" for name, lines in zip(table.index, table["lines"])]
    axes.set_xticks(places, names, **LABEL)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.legend(fontsize=9)
    return figure


def reliability(series: dict[str, tuple[Sequence[float], Sequence[bool]]], *, exact: float = 0.99) -> Figure:
    """Confidence against the fraction of right readings, and how many readings can be accepted at which precision.

    Args:
        series: by name, the confidences of readings (0-1) and whether each is right.
        exact: fraction that is to be right among the accepted readings; marked on the second plot.
    """
    figure, ((claim, sure),) = _new(3.1, 1, 2)
    claim.plot([0, 100], [0, 100], color=QUIET, linestyle=":")
    sure.axhline(100 * exact, color=QUIET, linestyle=":")
    lowest = 100.0
    for number, (name, (confidences, right)) in enumerate(series.items()):
        bins, curve = diagnosis.reliability(confidences, right), diagnosis.exact_among_surest(confidences, right)
        style = dict(color=f"C{number}", linestyle="-" if number == len(series) - 1 else "--")
        error, accepted = diagnosis.calibration_error(bins), diagnosis.accepted_fraction(curve, exact=exact)
        points = [(100 * part.confidence, 100 * part.exact) for part in bins]
        claim.plot(*zip(*points), marker="o", markersize=4, label=f"{name}: off by {100 * error:.1f} points", **style)
        sure.plot(100 * np.arange(1, len(curve) + 1) / len(curve), 100 * curve, **style)
        sure.plot(100 * accepted, 100 * exact, "o", color=style["color"], label=f"{name}: {100 * accepted:.0f} % accepted")
        lowest = min(lowest, 100 * curve[-1])
    claim.set(xlabel="mean confidence of a bin (%)", ylabel="right in the bin (%)", xlim=(-2, 102), ylim=(-2, 102))
    sure.set(xlabel="surest readings accepted (%)", ylabel="right among them (%)", ylim=(lowest - 2, 100.5))
    for axes in (claim, sure):
        axes.legend(fontsize=8)
    return figure


def _show_ink(axes: Axes, ink: np.ndarray) -> None:
    """An image of ink (H, W), uint8 or 0 ... 1, over the whole of an axis whose x counts its pixels."""
    height, width = ink.shape
    _draw(axes, _scaled(ink, 1), (0, width, height, 0), interpolation="bilinear")
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)


def _inches(width: float, height: float) -> tuple[float, float]:
    """Inches at which ink of this size in px fills the page, or is 1.6 inches high."""
    scale = min(7.2 / width, 1.6 / height)
    return max(scale * width, 3), scale * height


def trellis(alpha: np.ndarray, text: str, ink: np.ndarray, *, stride: int) -> Figure:
    """The forward variables of CTC under their ink, on one x-axis; in each frame, the likeliest state is black.

    Args:
        alpha: (T, 2S + 1) natural logarithms, a column for each state: blank, first character, blank, second, ...
        text: the label, S characters.
        ink: (H, W) uint8, the normalised line.
        stride: px of the line per frame.
    """
    alpha = np.asarray(alpha, dtype=float)
    relative = np.exp(alpha - alpha.max(axis=1, keepdims=True))
    (frames, states), (width, height) = alpha.shape, _inches(*ink.shape[::-1])
    heights = [height, min(0.17 * states, 8)]
    figure, ((line,), (axes,)) = _new(sum(heights) + 0.6, 2, width=width + 0.8, height_ratios=heights, sharex=True)
    _show_ink(line, ink)
    _draw(axes, 255 * relative.T, (0, frames * stride, states, 0))
    axes.hlines(range(1, states), 0, frames * stride, color=QUIET, linewidth=0.2)
    names = ["–", *(name for character in text.replace(" ", "␣") for name in (character, "–"))]
    axes.set_yticks(np.arange(states) + 0.5, names, fontsize=8, parse_math=False)
    axes.set(xlabel=f"frame ({stride} px of the line each)", ylabel="label, with blanks (–)", xlim=(0, ink.shape[1]))
    axes.xaxis.set_major_locator(MultipleLocator(stride * (5 if frames <= 100 else 20), offset=stride / 2))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x // stride:.0f}")
    return figure


def spans(image: np.ndarray, reading: Reading, truth: str = "") -> Figure:
    """The text over its image, every character over the frames it was read from.

    Args:
        image: (H, W) ink, in the pixels that the reading's spans count.
        reading: of this image.
        truth: the label, if it is known.
    """
    width, height = _inches(*image.shape[::-1])
    figure, ((axes,),) = _new(height + 0.8, width=width + 0.8)
    _show_ink(axes, image)
    size = 13 if len(reading.text) <= 24 else 8
    for place, (text, start, end) in enumerate((c.text, c.start, c.end) for c in reading.characters):
        axes.axvspan(start, end, color=f"C{place % 2}", alpha=0.25, linewidth=0)
        axes.text(
            (start + end) / 2, -1, text.replace(" ", "␣"), color=f"C{place % 2}", ha="center", **LABEL | {"fontsize": size}
        )
    mark, colour = ("  ✓ truth: ", CORRECT) if truth == reading.text else ("  × truth: ", WRONG)
    mark, colour = (mark + truth, colour) if truth else ("", "black")
    axes.set_xlabel(f"read: {reading.text}{mark}", color=colour, fontsize=10, parse_math=False)
    return figure


def ctc_frames(image: np.ndarray, probabilities: np.ndarray, names: Sequence[str], *, left: float, pixels: float) -> Figure:
    """An image and, pixel under pixel, what CTC says in each frame: the blank grey, the likely characters coloured.

    Args:
        image: (H, W) ink.
        probabilities: (T, C).
        names: C names of the classes; class 0 is the blank.
        left: px of the image at which frame 0 begins.
        pixels: px of the image per frame.
    """
    strips = -(-len(probabilities) // 96)  # longer lines are cut
    length = -(-len(probabilities) // strips) * pixels  # px of a strip
    width, height = _inches(length, len(image))
    figure, axes = _new((height + 2) * strips, 2 * strips, width=width + 0.8, height_ratios=[height, 1.5] * strips)
    centres = left + pixels * (np.arange(len(probabilities)) + 0.5)
    for strip, (line, curve) in enumerate(axes.reshape(strips, 2)):
        limits = (left + strip * length, left + (strip + 1) * length)
        _show_ink(line, image)
        line.set_xlim(limits)
        _draw_classes(curve, centres, probabilities, names)
        curve.set(xlim=limits, ylim=(0, 1.25), ylabel="probability", yticks=[0, 0.5, 1])
    axes[-1, 0].set_xlabel(f"px of the image (a frame is {pixels:.1f} px); grey: the blank")
    return figure


def _draw_classes(axes: Axes, centres: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Every class that is ever likely, as a curve over the frames, named at its peaks; the blank as a grey ground."""
    axes.fill_between(centres, probabilities[:, 0], color=QUIET, alpha=0.25, linewidth=0, step="mid")
    for index in 1 + np.flatnonzero(probabilities[:, 1:].max(0) >= 0.1):
        curve, colour = probabilities[:, index], f"C{index % 10}"
        axes.plot(centres, curve, linewidth=1, color=colour)
        axes.plot(centres, np.where(curve >= 0.05, curve, np.nan), "o", markersize=3, color=colour)
        before, after = np.pad(curve, 1)[:-2], np.pad(curve, 1)[2:]
        for t in np.flatnonzero((curve >= 0.1) & (curve > before) & (curve >= after)):
            place, size, name = (centres[t], curve[t]), 11 if curve[t] >= 0.5 else 8, names[index].replace(" ", "␣")
            axes.annotate(name, place, (0, 2), ha="center", color=colour, **NOTE | {"fontsize": size})


def beams(
    history: Sequence[tuple[int, Sequence[tuple[str, float]]]], ink: np.ndarray, *, stride: int, ranks: int = 5
) -> Figure:
    """The prefixes of a beam search from frame to frame, under their ink: where each is born, how it ranks, where it ends.

    Args:
        history: frames, each with its prefixes and their probabilities, the best first.
        ink: (H, W) uint8, the normalised line.
        stride: px of the line per frame.
        ranks: prefixes that are drawn at each frame.
    """
    width, height = _inches(*ink.shape[::-1])
    figure, ((line,), (axes,)) = _new(
        height + 0.55 * ranks + 0.8, 2, width=width + 1.6, height_ratios=[height, 0.55 * ranks], sharex=True
    )
    _show_ink(line, ink)
    places: dict[str, list[tuple[float, int]]] = {}
    for frame, prefixes in history:
        for rank, (text, _) in enumerate(prefixes[:ranks]):
            places.setdefault(text, []).append(((frame + 0.5) * stride, rank))
    final = [text for text, _ in history[-1][1][:ranks]]
    for text, path in places.items():
        lives = text in final
        style = dict(color="C0" if text == final[0] or final[0].startswith(text) else WRONG, alpha=1.0 if lives else 0.6)
        if text[:-1] in places and text:
            before = [place for place in places[text[:-1]] if place[0] < path[0][0]]
            axes.plot(*zip(*(before[-1:] + path[:1])), ":", linewidth=0.8, **style)
        axes.plot(*zip(*path), "-", linewidth=1.5, marker="o", markersize=2, **style)
        axes.annotate(text[-1:] or "", path[0], (0, 3), ha="center", color=style["color"], **NOTE)
        if not lives and not any(other.startswith(text) for other in final):
            axes.plot(*path[-1], "x", color=WRONG, markersize=5)
    for rank, (text, probability) in enumerate(history[-1][1][:ranks]):
        axes.annotate(f"{text}  {probability:.2f}", (ink.shape[1], rank), (6, -3), annotation_clip=False, **NOTE)
    axes.set(xlabel=f"px of the line ({stride} a frame)", ylabel="rank", xlim=(0, ink.shape[1]), ylim=(ranks - 0.5, -0.7))
    axes.set_yticks(range(ranks), range(1, ranks + 1))
    return figure


def weights(curve: pd.DataFrame, *, chosen: float) -> Figure:
    """CER and exact match over the weight of a language.

    Args:
        curve: a row for each weight, its index; columns cer and exact, fractions.
        chosen: the weight to mark.
    """
    figure, (axes,) = _new(2.6, 1, 2)
    for axis, column, label in zip(axes, ("cer", "exact"), ("CER (%)", "exact match (%)")):
        axis.plot(curve.index, 100 * curve[column], "o-", markersize=4)
        axis.axvline(chosen, color=QUIET, linestyle=":", label=f"chosen on validation: {chosen:g}")
        axis.set(xlabel="weight of the language", ylabel=label)
        axis.legend(fontsize=8)
    return figure


# Pages -----------------------------------------------------------------------------------------------------------------


def _show_page(axes: Axes, grey: np.ndarray, *, faint: float = 1.0) -> None:
    """A page (H, W) in px of its own, its ink on white; `faint` below 1 fades it."""
    levels = (255 - faint * _page_ink(grey)).astype(np.uint8)
    box = (0, grey.shape[1], grey.shape[0], 0)
    axes.imshow(levels, cmap="gray", vmin=0, vmax=255, extent=box, interpolation="nearest")
    axes.set_axis_off()


def _page_ink(grey: np.ndarray) -> np.ndarray:
    """The ink of a page in four levels and without noise, which keeps the picture small."""
    scale = min(SHOWN / max(grey.shape), 1)
    ink = page_ink(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return (ink // 52 * 63).clip(0, 255).astype(np.uint8)


def page(page: Sheet, *, text: bool = True) -> Figure:
    """A page with the outline and the number of every line in reading order, and what was read over the faded ink."""
    width = min(PAGE, SHOWN * page.width / page.height) / DPI
    figure, axes = _new(width * page.height / page.width, width=width)
    _show_page(axes[0, 0], page.image, faint=0.45 if text else 1.0)
    for number, line in enumerate(page.lines, start=1):
        axes[0, 0].plot(*np.concatenate([line.polygon, line.polygon[:1]]).T, color="#1f6fb5", linewidth=0.7)
        left = line.baseline[0]
        axes[0, 0].annotate(str(number), left, (-4, 0), ha="right", color=QUIET, **{**NOTE, "fontsize": 7})
        if text:
            _write_along(axes[0, 0], line, width * 72 / page.width)
    return figure


def _page_height(height: int, width: int, columns: int) -> float:
    """Inches of a figure with so many pages side by side."""
    return height / width * PAGE / DPI / columns


def _write_along(axes: Axes, line: Line, points: float) -> None:
    """The text of a line under its baseline, not longer than the line; a px of the page has so many points in the figure."""
    (x, y), end = line.baseline[0], line.baseline[-1]
    length = float(np.hypot(*(end - line.baseline[0]))) * points
    natural = TextPath((0, 0), line.text.replace("$", "S") or " ", size=10).get_extents().width
    size = float(np.clip(10 * length / max(natural, 1.0), 4, 9))
    angle = np.degrees(np.arctan2(y - end[1], end[0] - x))
    options = {**LABEL, "fontsize": size, "color": WRONG, "rotation": angle, "rotation_mode": "anchor", "va": "top"}
    axes.text(x, y, line.text, **options)


def baselines(image: np.ndarray, found: Sequence[np.ndarray], true: Sequence[np.ndarray] = ()) -> Figure:
    """Baselines over a page: the found ones thin and red, the true ones broad and green."""
    figure, axes = _new(_page_height(*image.shape, 2), width=PAGE / DPI / 2)
    _show_page(axes[0, 0], image)
    for curve in true:
        axes[0, 0].plot(*curve.T, color=CORRECT, linewidth=5, alpha=0.4)
    for curve in found:
        axes[0, 0].plot(*curve.T, color=WRONG, linewidth=1.1)
    return figure


def profile(image: np.ndarray, rows: np.ndarray, places: Sequence[float] = ()) -> Figure:
    """A page and, on the same y-axis, the mean ink of its rows, with places marked.

    Args:
        image: (H, W) grey levels.
        rows: the mean ink of each row, top to bottom, at any resolution.
        places: of lines, px of the image.
    """
    height, width = image.shape
    figure, axes = _new(_page_height(height, width, 2), 1, 2, sharey=True, width_ratios=(2, 1), width=0.75 * PAGE / DPI)
    _show_page(axes[0, 0], image)
    axes[0, 0].set_aspect("auto")
    axes[0, 1].plot(100 * rows, np.linspace(0, height, len(rows)), color="black", linewidth=0.8)
    axes[0, 1].set_xlabel("mean ink (%)")
    for place in places:
        for panel in axes[0]:
            panel.axhline(place, color=WRONG, linewidth=0.7)
    return figure


def maps(image: np.ndarray, layers: dict[str, np.ndarray]) -> Figure:
    """Maps over a page, each in a panel of its own: white is 0, red the largest value; ink is grey.

    Args:
        image: (H, W) grey levels.
        layers: title -> map, at any resolution.
    """
    figure, axes = _new(_page_height(*image.shape, len(layers)) + 0.25, 1, len(layers))
    for panel, (title, layer) in zip(axes[0], layers.items()):
        grey = 255 - cv2.resize(_page_ink(image), layer.shape[::-1], interpolation=cv2.INTER_AREA)
        strength = (layer / max(float(layer.max()), 1e-9)).clip(0, 1)[..., None]
        picture = (1 - strength) * (128 + grey[..., None] / 2) + strength * np.array([178, 24, 43])
        panel.imshow((picture // 32 * 32).astype(np.uint8))
        panel.set_title(title, **LABEL)
        panel.set_axis_off()
    return figure
