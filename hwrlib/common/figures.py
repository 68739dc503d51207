"""What all figures share: their size and colours, images of ink, logarithmic axes.

Ink is drawn dark on white with fixed limits, so that images can be compared. Errors are marked by a sign as well as by
a colour. Labels are never parsed as mathematics: a dollar sign is a dollar sign.
"""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

DPI = 110
PAGE = 880  # px, the width of a figure
CORRECT, WRONG, QUIET = "#1b7837", "#b2182b", "#666666"
LABEL = {"fontsize": 9, "parse_math": False}  # how a text of the data is written
NOTE = {**LABEL, "textcoords": "offset points"}


def new_figure(height: float, rows: int = 1, columns: int = 1, *, width: float = PAGE / DPI, **options):
    """A figure, in inches, that a notebook shows once, as the value of its cell; and its axes (rows, columns)."""
    options = {"figsize": (width, height), "dpi": DPI, "squeeze": False, "layout": "constrained", **options}
    figure, axes = plt.subplots(rows, columns, **options)
    plt.close(figure)
    return figure, axes


def plain_log(axes: Axes) -> None:
    """Make the y-axis logarithmic, with ticks at plain numbers: 1, 2, 3, 5, 10, ..., or 1, 10, ... if it spans many."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if high < 100 * low else (1,), numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,g}")


def draw_image(axes: Axes, image: np.ndarray, box: tuple[float, ...], interpolation: str = "nearest") -> None:
    """Draw an image of 0 ... 255 in a box (left, right, bottom, top) of an axis, dark on white."""
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, aspect="auto", extent=box, interpolation=interpolation)


def rescaled(image: np.ndarray, scale: float) -> np.ndarray:
    """Ink (H, W), uint8 or 0 ... 1, at another size: uint8 in 8 levels, which keep the picture's file small."""
    image = image if image.dtype == np.uint8 else (255 * image).astype(np.uint8)
    if scale != 1:
        size = tuple(max(round(side * scale), 1) for side in image.shape[::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return image // 32 * 36
