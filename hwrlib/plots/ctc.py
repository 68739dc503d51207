"""Figures of CTC and beam search, each under its ink, on the same x-axis."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from hwrlib.common.figures import CORRECT, LABEL, NOTE, QUIET, WRONG, draw_image, new_figure, rescaled
from hwrlib.reader import Reading

Beams = Sequence[tuple[str, float]]  # of a frame: prefixes and their probabilities
Path = list[tuple[float, int]]  # of a prefix through the frames: px of the line, rank


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
    figure, ((line,), (axes,)) = new_figure(sum(heights) + 0.6, 2, width=width + 0.8, height_ratios=heights, sharex=True)
    _show_ink(line, ink)
    draw_image(axes, 255 * relative.T, (0, frames * stride, states, 0))
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
    figure, ((axes,),) = new_figure(height + 0.8, width=width + 0.8)
    _show_ink(axes, image)
    style = {**LABEL, "fontsize": 13 if len(reading.text) <= 24 else 8, "ha": "center"}
    for number, character in enumerate(reading.characters):
        colour, middle = f"C{number % 2}", (character.start + character.end) / 2
        axes.axvspan(character.start, character.end, color=colour, alpha=0.25, linewidth=0)
        axes.text(middle, -1, character.text.replace(" ", "␣"), color=colour, **style)
    label, colour = f"read: {reading.text}", "black"
    if truth:
        mark, colour = ("✓", CORRECT) if truth == reading.text else ("×", WRONG)
        label += f"  {mark} truth: {truth}"
    axes.set_xlabel(label, color=colour, fontsize=10, parse_math=False)
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
    strips = -(-len(probabilities) // 96)  # rounded up: longer lines are cut
    length = -(-len(probabilities) // strips) * pixels  # px of a strip
    width, height = _inches(length, len(image))
    figure, axes = new_figure((height + 2) * strips, 2 * strips, width=width + 0.8, height_ratios=[height, 1.5] * strips)
    centres = left + pixels * (np.arange(len(probabilities)) + 0.5)
    for strip, (line, curve) in enumerate(axes.reshape(strips, 2)):
        limits = (left + strip * length, left + (strip + 1) * length)
        _show_ink(line, image)
        line.set_xlim(limits)
        _draw_classes(curve, centres, probabilities, names)
        curve.set(xlim=limits, ylim=(0, 1.25), ylabel="probability", yticks=[0, 0.5, 1])
    axes[-1, 0].set_xlabel(f"px of the image (a frame is {pixels:.1f} px); grey: the blank")
    return figure


def beams(history: Sequence[tuple[int, Beams]], ink: np.ndarray, *, stride: int, ranks: int = 5) -> Figure:
    """The prefixes of a beam search from frame to frame, under their ink: where each is born, how it ranks, where it ends.

    Args:
        history: frames, each with its prefixes and their probabilities, the best first.
        ink: (H, W) uint8, the normalised line.
        stride: px of the line per frame.
        ranks: prefixes that are drawn at each frame.
    """
    width, height = _inches(*ink.shape[::-1])
    heights = [height, 0.55 * ranks]
    figure, ((line,), (axes,)) = new_figure(sum(heights) + 0.8, 2, width=width + 1.6, height_ratios=heights, sharex=True)
    _show_ink(line, ink)
    paths: dict[str, Path] = {}
    for frame, prefixes in history:
        for rank, (prefix, _) in enumerate(prefixes[:ranks]):
            paths.setdefault(prefix, []).append(((frame + 0.5) * stride, rank))
    final = history[-1][1][:ranks]
    for prefix in paths:
        _draw_prefix(axes, prefix, paths, [text for text, _ in final])
    for rank, (text, probability) in enumerate(final):
        axes.annotate(f"{text}  {probability:.2f}", (ink.shape[1], rank), (6, -3), annotation_clip=False, **NOTE)
    axes.set(xlabel=f"px of the line ({stride} a frame)", ylabel="rank", xlim=(0, ink.shape[1]), ylim=(ranks - 0.5, -0.7))
    axes.set_yticks(range(ranks), range(1, ranks + 1))
    return figure


def _draw_prefix(axes: Axes, prefix: str, paths: dict[str, Path], final: Sequence[str]) -> None:
    """The path of a prefix, dotted from the one it extends; blue if it leads to the best text, a × where it dies out."""
    path, parent = paths[prefix], paths.get(prefix[:-1], [])
    before = [place for place in parent if place[0] < path[0][0]]
    colour = "C0" if final[0].startswith(prefix) else WRONG
    style = {"color": colour, "alpha": 1.0 if prefix in final else 0.6}
    axes.plot(*zip(*before[-1:], path[0]), ":", linewidth=0.8, **style)
    axes.plot(*zip(*path), "-", linewidth=1.5, marker="o", markersize=2, **style)
    axes.annotate(prefix[-1:], path[0], (0, 3), ha="center", color=colour, **NOTE)
    if not any(text.startswith(prefix) for text in final):
        axes.plot(*path[-1], "x", color=WRONG, markersize=5)


def _show_ink(axes: Axes, ink: np.ndarray) -> None:
    """An image of ink (H, W), uint8 or 0 ... 1, over the whole of an axis whose x counts its pixels."""
    height, width = ink.shape
    draw_image(axes, rescaled(ink, 1), (0, width, height, 0), interpolation="bilinear")
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)


def _inches(width: float, height: float) -> tuple[float, float]:
    """Inches at which ink of this size in px fills the page, or is 1.6 inches high."""
    scale = min(7.2 / width, 1.6 / height)
    return max(scale * width, 3), scale * height


def _draw_classes(axes: Axes, centres: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Every class that is ever likely, as a curve over the frames, named at its peaks; the blank as a grey ground."""
    axes.fill_between(centres, probabilities[:, 0], color=QUIET, alpha=0.25, linewidth=0, step="mid")
    for index in 1 + np.flatnonzero(probabilities[:, 1:].max(0) >= 0.1):
        curve, colour = probabilities[:, index], f"C{index % 10}"
        axes.plot(centres, curve, linewidth=1, color=colour)
        axes.plot(centres, np.where(curve >= 0.05, curve, np.nan), "o", markersize=3, color=colour)
        before, after = np.pad(curve, 1)[:-2], np.pad(curve, 1)[2:]
        for peak in np.flatnonzero((curve >= 0.1) & (curve > before) & (curve >= after)):
            style = {**NOTE, "fontsize": 11 if curve[peak] >= 0.5 else 8, "color": colour, "ha": "center"}
            axes.annotate(names[index].replace(" ", "␣"), (centres[peak], curve[peak]), (0, 2), **style)
