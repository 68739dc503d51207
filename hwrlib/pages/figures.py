"""Figures of pages: the lines with their texts, baselines, ink by row, the network's maps."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from hwrlib.common.figures import CORRECT, DPI, LABEL, NOTE, PAGE, QUIET, WRONG, new_figure
from hwrlib.pages.ink import page_ink
from hwrlib.pages.line import Line, Sheet

SHOWN = 800  # px, the longer side of a whole page in a figure


def page(page: Sheet, *, text: bool = True) -> Figure:
    """A page with the outline and the number of every line in reading order, and what was read over the faded ink."""
    width = min(PAGE, SHOWN * page.width / page.height) / DPI
    figure, ((axes,),) = new_figure(width * page.height / page.width, width=width)
    _show_page(axes, page.image, faint=0.45 if text else 1.0)
    for number, line in enumerate(page.lines, start=1):
        axes.plot(*np.concatenate([line.polygon, line.polygon[:1]]).T, color="#1f6fb5", linewidth=0.7)
        axes.annotate(str(number), line.baseline[0], (-4, 0), ha="right", color=QUIET, **NOTE | {"fontsize": 7})
        if text:
            _write_along(axes, line, width * 72 / page.width)
    return figure


def baselines(image: np.ndarray, found: Sequence[np.ndarray], true: Sequence[np.ndarray] = ()) -> Figure:
    """Baselines over a page: the found ones thin and red, the true ones broad and green."""
    figure, ((axes,),) = new_figure(_page_height(*image.shape, 2), width=PAGE / DPI / 2)
    _show_page(axes, image)
    for curve in true:
        axes.plot(*curve.T, color=CORRECT, linewidth=5, alpha=0.4)
    for curve in found:
        axes.plot(*curve.T, color=WRONG, linewidth=1.1)
    return figure


def profile(image: np.ndarray, rows: np.ndarray, places: Sequence[float] = ()) -> Figure:
    """A page and, on the same y-axis, the mean ink of its rows, with places marked.

    Args:
        image: (H, W) grey levels.
        rows: the mean ink of each row, top to bottom, at any resolution.
        places: of lines, px of the image.
    """
    height, width = image.shape
    options = {"sharey": True, "width_ratios": (2, 1), "width": 0.75 * PAGE / DPI}
    figure, ((sheet, curve),) = new_figure(_page_height(height, width, 2), 1, 2, **options)
    _show_page(sheet, image)
    sheet.set_aspect("auto")
    curve.plot(100 * rows, np.linspace(0, height, len(rows)), color="black", linewidth=0.8)
    curve.set_xlabel("mean ink (%)")
    for place in places:
        for axes in (sheet, curve):
            axes.axhline(place, color=WRONG, linewidth=0.7)
    return figure


def maps(image: np.ndarray, layers: dict[str, np.ndarray]) -> Figure:
    """Maps over a page, each in a panel of its own: white is 0, red the largest value; ink is grey.

    Args:
        image: (H, W) grey levels.
        layers: title -> map, at any resolution.
    """
    figure, (panels,) = new_figure(_page_height(*image.shape, len(layers)) + 0.25, 1, len(layers))
    for panel, (title, layer) in zip(panels, layers.items()):
        grey = 255 - cv2.resize(_page_ink(image), layer.shape[::-1], interpolation=cv2.INTER_AREA)
        strength = (layer / max(float(layer.max()), 1e-9)).clip(0, 1)[..., None]
        picture = (1 - strength) * (128 + grey[..., None] / 2) + strength * np.array([178, 24, 43])
        panel.imshow((picture // 32 * 32).astype(np.uint8))
        panel.set_title(title, **LABEL)
        panel.set_axis_off()
    return figure


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


def _page_height(height: int, width: int, columns: int) -> float:
    """Inches of a figure with so many pages side by side."""
    return height / width * PAGE / DPI / columns


def _write_along(axes: Axes, line: Line, points: float) -> None:
    """The text of a line under its baseline, not longer than the line; a px of the page has so many points in the figure."""
    start, end = line.baseline[0], line.baseline[-1]
    across, down = end - start
    length = float(np.hypot(across, down)) * points
    natural = TextPath((0, 0), line.text.replace("$", "S") or " ", size=10).get_extents().width
    size = float(np.clip(10 * length / max(natural, 1.0), 4, 9))
    angle = np.degrees(np.arctan2(-down, across))
    options = {**LABEL, "fontsize": size, "color": WRONG, "rotation": angle, "rotation_mode": "anchor", "va": "top"}
    axes.text(*start, line.text, **options)
