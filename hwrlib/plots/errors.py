"""Figures of errors: wrong labels, confused characters, rates of groups, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from hwrlib.common.figures import LABEL, QUIET, WRONG, new_figure, plain_log
from hwrlib.models import diagnosis

if TYPE_CHECKING:
    import pandas as pd


def suspicion(planted: Sequence[float], others: Sequence[float]) -> Figure:
    """Suspicions in nats of planted wrong labels and of others, in the same bins; the last bin takes infinite ones."""
    planted, others = np.asarray(planted, float), np.asarray(others, float)
    known = np.concatenate([planted, others, [0.0, 1.0]])
    bins = np.histogram_bin_edges(known[np.isfinite(known)], 40)
    figure, ((axes,),) = new_figure(2.8)
    for values, label, colour, style in [(others, "others", QUIET, "--"), (planted, "planted wrong labels", WRONG, "-")]:
        shown, label = np.minimum(values, bins[-1]), f"{label} (n = {len(values):,})"
        axes.hist(shown, bins, histtype="step", color=colour, linestyle=style, linewidth=1.5, label=label)
    plain_log(axes)
    axes.set(xlabel="suspicion (nats)", ylabel="labels", xlim=(bins[0], bins[-1]), ylim=(0.7, None))
    axes.legend(fontsize=9)
    return figure


def confusions(matrix: pd.DataFrame) -> Figure:
    """Counts of errors, from `hwrlib.models.diagnosis.confusion_matrix`: true characters left, read ones below."""
    side = 1.4 + 0.34 * len(matrix)
    figure, ((axes,),) = new_figure(side, width=side + 0.4)
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
    figure, ((axes,),) = new_figure(2.8)
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
    figure, ((claim, sure),) = new_figure(3.1, 1, 2)
    claim.plot([0, 100], [0, 100], color=QUIET, linestyle=":")
    sure.axhline(100 * exact, color=QUIET, linestyle=":")
    lowest = 100.0
    for number, (name, (confidences, right)) in enumerate(series.items()):
        style = {"color": f"C{number}", "linestyle": "-" if number == len(series) - 1 else "--"}
        bins, curve = diagnosis.reliability(confidences, right), diagnosis.exact_among_surest(confidences, right)
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
