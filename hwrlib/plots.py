"""Every figure of the course. Each helper returns a ``Figure``; nothing here computes what a lesson teaches.

Ink is drawn dark on white with fixed limits, so that two images can be compared; an error is marked by a sign as well
as by a colour.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

DPI = 75
CORRECT, WRONG, QUIET = "#1b7837", "#b2182b", "#666666"


def _new(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure that a notebook shows once, as the value of its cell, and its axes (rows, columns)."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), dpi=DPI, squeeze=False, layout="constrained",
                                **options)
    plt.close(figure)
    return figure, axes


def show_ink(axes, ink: np.ndarray, title: str = "", *, colour: str = "black") -> None:
    """One image of ink (H, W) on an axis, dark on white, with its title; full ink is 255 or 1."""
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
