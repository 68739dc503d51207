"""Figures of lines: sheets, stages, readings, a padded batch. They count pixels, so that an image is drawn as it is."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hwrlib.common.figures import CORRECT, DPI, LABEL, PAGE, QUIET, WRONG, draw_image, new_figure, rescaled
from hwrlib.metrics import Edit, align

GAP, TEXT = 14, 18  # px: space between two images, height of a line of text
SIGNS = {"equal": " ", "substitute": "×", "delete": "-", "insert": "+"}
Images = Sequence[np.ndarray]  # of ink (H, W)


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
    scaled = [rescaled(image, scale) for image in images]
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
    scaled = [rescaled(image, min(cell / image.shape[1], 90 / image.shape[0], 2)) for image in images]
    axes, boxes = _grid(scaled, columns, foot=3 * TEXT, framed=True)
    for (x, y, _, height), truth, prediction, note in zip(boxes, truths, predictions, [*notes] or [""] * len(images)):
        _write_reading(axes, x, y + height + 3, cell - 60 * bool(note), truth, prediction)
        axes.text(x + cell, y + height + 3, note, color=QUIET, ha="right", va="top", **LABEL)
    return axes.figure


def padding(images: np.ndarray, image_widths: Sequence[int], texts: Sequence[str]) -> Figure:
    """Lines of a batch as they lie in its tensor, one under the other; the padding is hatched.

    Args:
        images: (N, 1, H, W) uint8 ink.
        image_widths: (N,) px of each image that are not padding.
        texts: N labels, written beside the lines.
    """
    import torch  # heavy, and no other figure needs it
    from torchvision.utils import make_grid

    rule, height = 2, images.shape[2]
    strip = make_grid(torch.as_tensor(np.asarray(images)), nrow=1, padding=rule, pad_value=90)[0].numpy()
    scale = min(0.75 * PAGE / strip.shape[1], 1.5)
    axes, [(_, top, right, strip_height)] = _grid([rescaled(strip, scale)], 1, foot=TEXT)
    hatched = {"facecolor": "#d9e6f2", "edgecolor": "#7f9db9", "hatch": "//", "linewidth": 0}
    for n, (image_width, text) in enumerate(zip(image_widths, texts)):
        x, y = (int(image_width) + rule) * scale, top + (n * (height + rule) + rule) * scale
        axes.add_patch(Rectangle((x, y), right - x - rule, height * scale, **hatched))
        axes.text(right + 8, y + height * scale / 2, _shortened(text, 26), va="center", **LABEL)
    axes.text(right, top + strip_height + 4, f"{images.shape[3]} px", fontsize=9, ha="right", va="top")
    return axes.figure


def _columns(images: Images) -> int:
    """Columns of a grid in which the widest image keeps at least four fifths of its size; at most three."""
    widest = max((image.shape[1] for image in images), default=PAGE)
    return int(np.clip(1.25 * PAGE // (widest + GAP), 1, 3))


def _grid(images: Images, columns: int, *, head: int = GAP, foot: int = 0, framed: bool = False) -> tuple[Axes, list[tuple]]:
    """Scaled images in a grid, pixel for pixel, with px of room for text above and below; those with a foot stand on a line.

    Returns:
        A bare axis that counts the pixels of the page, and the left, top, width and height of each image.
    """
    heights = [max(map(len, images[n : n + columns])) for n in range(0, len(images), columns)]  # of the rows
    *tops, end = np.cumsum([0, *(head + height + foot for height in heights)]).tolist()
    whole = {"left": 0, "bottom": 0, "right": 1, "top": 1}
    _, ((axes,),) = new_figure((end + GAP) / DPI, layout=None, gridspec_kw=whole)
    boxes = []
    for n, image in enumerate(images):
        (row, column), (height, width) = divmod(n, columns), image.shape
        x, y = column * (PAGE // columns), tops[row] + head + (heights[row] - height if foot else 0)
        draw_image(axes, image, (x, x + width, y + height, y))
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=QUIET, linewidth=0.4, visible=framed))
        boxes.append((x, y, width, height))
    axes.set(xlim=(0, PAGE), ylim=(end + GAP, 0))
    axes.set_axis_off()
    return axes, boxes


def _write_reading(axes: Axes, x: float, y: float, width: float, truth: str, prediction: str) -> None:
    """Truth, reading and signs under each other in letters of one width; smaller ones for a text that is too long."""
    edits = align(truth, prediction) if truth else [Edit("equal", "", character) for character in prediction]
    size = min(10, width / max(len(edits), 1) / 0.61 * 72 / DPI)  # points; a letter is 0.6 of its size wide
    style = {"fontsize": size, "family": "monospace", "va": "top", "parse_math": False}
    true = [edit.reference or " " for edit in edits]
    right = [edit.hypothesis if edit.kind == "equal" else " " for edit in edits]
    wrong = [edit.hypothesis or " " if edit.kind != "equal" else " " for edit in edits]
    signs = [SIGNS[edit.kind] for edit in edits]
    rows = [(0, true, "black"), (TEXT - 1, right, CORRECT), (TEXT - 1, wrong, WRONG), (1.7 * TEXT, signs, WRONG)]
    for down, letters, colour in rows:
        axes.text(x, y + down, "".join(letters).rstrip(), color=colour, **style)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
