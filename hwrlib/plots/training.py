"""Figures of trainings: a run by epoch, many runs compared, the weight of a language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hwrlib.common.figures import NOTE, QUIET, new_figure, plain_log

if TYPE_CHECKING:
    import pandas as pd


def curves(history: pd.DataFrame, *, baseline: float | None = None) -> Figure:
    """Losses and validation CER by epoch.

    Args:
        history: a row for each epoch, as `hwrlib.runs.fit` keeps it.
        baseline: a CER (a fraction), drawn as a dotted line: above the frame if it is far above the data.
    """
    figure, ((loss, error),) = new_figure(2.9, 1, 2)
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
        plain_log(axes)
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
    figure, ((axes,),) = new_figure(3.4)
    shown = sorted(set(values.values()), key=str)
    for run, rows in table.groupby("run"):
        number = shown.index(values[run])
        axes.plot(rows["epoch"], 100 * rows["validation_cer"].clip(lower=0.0001), color=f"C{number}", alpha=0.8)
    for number, value in enumerate(shown):
        axes.plot([], [], color=f"C{number}", label=f"{knob} = {value}")
    axes.set(xlabel="epoch", ylabel="validation CER (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain_log(axes)
    axes.legend(fontsize=8)
    return figure


def effects(table: pd.DataFrame) -> Figure:
    """What each change of a knob does to the CER, with its standard error, before the range that the seed alone explains.

    Args:
        table: as from `hwrlib.batch.effects`.
    """
    figure, ((axes,),) = new_figure(0.9 + 0.35 * len(table))
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
    figure, ((axes,),) = new_figure(3.4)
    axes.plot(table["seconds"], 100 * table["cer"], "o", color=QUIET, label="runs")
    axes.plot(best["seconds"], 100 * best["cer"], "o-", color="C1", label="beaten by none")
    axes.set(xlabel="training (seconds)", ylabel="CER (%)")
    plain_log(axes)
    axes.legend(fontsize=8)
    return figure


def weights(curve: pd.DataFrame, *, chosen: float) -> Figure:
    """CER and exact match over the weight of a language.

    Args:
        curve: a row for each weight, its index; columns cer and exact, fractions.
        chosen: the weight to mark.
    """
    figure, (axes,) = new_figure(2.6, 1, 2)
    for axis, column, label in zip(axes, ("cer", "exact"), ("CER (%)", "exact match (%)")):
        axis.plot(curve.index, 100 * curve[column], "o-", markersize=4)
        axis.axvline(chosen, color=QUIET, linestyle=":", label=f"chosen on validation: {chosen:g}")
        axis.set(xlabel="weight of the language", ylabel=label)
        axis.legend(fontsize=8)
    return figure


def _draw_baseline(axes: Axes, percent: float, text: str) -> None:
    """A dotted line at its place or, where that would press the curve flat, above the frame with an arrow upwards."""
    inside = percent <= axes.get_ylim()[1]
    y, along = (percent, axes.get_yaxis_transform()) if inside else (1.06, axes.transAxes)
    axes.plot([0, 1], [y, y], ":", color=QUIET, transform=along, clip_on=False)
    text = text if inside else f"↑ {text}"
    axes.annotate(text, (1, y), (0, 3), xycoords=along, color=QUIET, ha="right", va="bottom", **NOTE)
