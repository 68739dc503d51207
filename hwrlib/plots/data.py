"""Figures of a data set: sizes, characters, frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hwrlib.common.figures import QUIET, WRONG, new_figure, plain_log

if TYPE_CHECKING:
    import pandas as pd


def histograms(values: dict[str, Sequence[float]]) -> Figure:
    """A histogram of each quantity, side by side; `values` maps what the axis says (with the unit) to the numbers."""
    figure, axes = new_figure(2.3, 1, len(values))
    for axis, (label, numbers) in zip(axes.flat, values.items()):
        low, high = np.min(numbers), np.max(numbers)
        axis.hist(numbers, bins=np.linspace(low - 0.5, high + 0.5, int(min(high - low + 1, 40)) + 1), color=QUIET)
        axis.set(xlabel=label, xlim=(low - 2, high + 2))
    axes[0, 0].set_ylabel("lines")
    return figure


def frequencies(counts: pd.Series, *, most: int = 60) -> Figure:
    """How often each character of the index occurs: the `most` frequent ones first, the space drawn as ␣."""
    counts = counts.sort_values(ascending=False, kind="stable").head(most)
    figure, ((axes,),) = new_figure(2.5)
    axes.bar(range(len(counts)), counts, color=QUIET)
    axes.set_xticks(range(len(counts)), counts.index.str.replace(" ", "␣"), parse_math=False)
    axes.set(ylabel="occurrences", xlabel="character", xlim=(-0.7, len(counts) - 0.3), ylim=(0.7, 1.5 * counts.max()))
    plain_log(axes)
    return figure


def frames_and_needs(frames: Sequence[int], needed: Sequence[int]) -> Figure:
    """For every line the frames of its image over the frames that its label needs; below 1, CTC fails."""
    ratio = np.asarray(frames) / np.maximum(needed, 1)
    figure, ((axes,),) = new_figure(2.7)
    axes.hist(ratio, bins=np.linspace(0, max(ratio.max(), 2), 61), color=QUIET)
    axes.axvspan(0, 1, color=WRONG, alpha=0.15, linewidth=0)
    short = f"× below 1, too few frames: {(ratio < 1).sum():,} of {len(ratio):,} lines"
    axes.set_title(short, fontsize=10, color=WRONG, loc="left")
    axes.axvline(np.median(ratio), color="black", linestyle=":", label=f"median {np.median(ratio):.1f}")
    axes.set(xlabel="frames of the image / frames that its label needs", ylabel="lines", xlim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9, loc="upper right")
    return figure
