"""Figures: what stands where in them, and that each is small enough for a notebook."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hwrlib import plots
from hwrlib.common.figures import CORRECT, PAGE, WRONG
from hwrlib.models import diagnosis
from hwrlib.reader import Character, Reading
from hwrlib.synthetic.pages import render_page

LARGEST = 120_000  # bytes of a figure's PNG
STRIDE = 4


@pytest.fixture
def lines(draw) -> list[np.ndarray]:
    """Nine drawn words as ink."""
    return [255 - draw(text, seed) for seed, text in enumerate(["ANNE", "LEO", "ZOE"] * 3)]


@pytest.fixture
def history() -> pd.DataFrame:
    """Four epochs of a training."""
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "train_loss": [1.9, 0.35, 0.17, 0.09],
            "validation_loss": [0.25, 0.14, 0.1, 0.095],
            "validation_cer": [0.22, 0.08, 0.045, 0.039],
        }
    )


def png(figure: Figure) -> bytes:
    """The figure as a notebook keeps it; no warning may come with it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file, dpi="figure", bbox_inches="tight")
    return file.getvalue()


def texts(figure: Figure) -> list[str]:
    """All text that is written inside the axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def alpha(frames: int, states: int) -> np.ndarray:
    """Forward variables that walk down the diagonal."""
    time, state = np.mgrid[:frames, :states]
    return -np.abs(time / frames - state / states) * 50.0


BEAMS = [  # of a search that drops A for the B after it
    (2, [("A", 0.6), ("B", 0.3), ("", 0.1)]),
    (5, [("BO", 0.5), ("A", 0.4), ("B", 0.1)]),
    (9, [("BO", 0.8), ("BOB", 0.1), ("B", 0.1)]),
]


def every_figure(lines: list[np.ndarray], history: pd.DataFrame) -> dict[str, Figure]:
    """One figure of each kind, from input such as the notebooks give."""
    rng = np.random.default_rng(0)
    names = ["ANNE", "LEO", "ZOE"] * 3
    batch = np.zeros((6, 1, 48, 160), np.uint8)
    for row, line in zip(batch, lines):
        row[0, :, : line.shape[1]] = line
    frames, confidences = rng.integers(5, 60, 500), rng.random(200)
    correct = rng.random(200) < confidences
    reading = Reading("LEO", 0.9, tuple(Character(c, 20 * i, 20 * i + 12, 0.9) for i, c in enumerate("LEO")))
    table = pd.DataFrame(
        {"rate": [0.02, 0.05], "low": [0.01, 0.03], "high": [0.03, 0.08], "lines": [1200, 40]}, index=["short", "long"]
    )
    register = render_page(0)
    return {
        "sheet": plots.sheet([line / 255 for line in lines], names),
        "stages": plots.stages(lines[:5], ["grey", "ink", "alone", "cropped", "scaled"]),
        "readings": plots.readings(lines, names, ["ANE", "LEO", "ZZOE"] * 3, notes=["97%"] * 9),
        "padding": plots.padding(batch, [line.shape[1] for line in lines[:6]], names),
        "histograms": plots.histograms({"width (px)": frames, "label (characters)": frames // 5}),
        "frequencies": plots.frequencies(pd.Series({"A": 900, " ": 50, "$": 1})),
        "frames_and_needs": plots.frames_and_needs(frames, frames // 7 + 3),
        "curves": plots.curves(history, baseline=1.0),
        "suspicion": plots.suspicion([30.0, 80.0, np.inf], [0.1, 2.0, 5.0]),
        "curves_of_runs": plots.curves_of_runs(runs_history(), {"a": 0.5, "b": 0.0}, "augment"),
        "effects": plots.effects(EFFECTS),
        "frontier": plots.frontier(RUNS, RUNS.head(1)),
        "confusions": plots.confusions(diagnosis.confusion_matrix(names, ["ANE", "LFO", "2OE"] * 3)),
        "rates": plots.rates(table, overall=0.03, xlabel="characters in the label"),
        "reliability": plots.reliability({"greedy": (confidences, ~correct), "language": (confidences, correct)}),
        "beams": plots.beams(BEAMS, lines[0], stride=STRIDE, ranks=3),
        "weights": plots.weights(pd.DataFrame({"cer": [0.1, 0.05], "exact": [0.5, 0.7]}, index=[0.0, 0.4]), chosen=0.4),
        "page": plots.page(register),
        "baselines": plots.baselines(
            register.image, [line.baseline for line in register.lines], [register.lines[0].baseline]
        ),
        "profile": plots.profile(register.image, register.image.mean(axis=1) / 255, [100.0]),
        "maps": plots.maps(register.image, {"ones": np.ones((9, 9)), "zeros": np.zeros((300, 200))}),
        "trellis": plots.trellis(alpha(64, 13), "LAMBER", np.resize(lines[0], (40, 256)), stride=STRIDE),
        "spans": plots.spans(lines[1], reading, "LÉO"),
        "ctc_frames": plots.ctc_frames(
            lines[1], rng.dirichlet(np.full(4, 0.1), 20), ["·", "L", "E", " "], left=3.0, pixels=5.4
        ),
    }


RUNS = pd.DataFrame({"seconds": [10.0, 30.0], "cer": [0.05, 0.06]})
EFFECTS = pd.DataFrame(
    {"knob": ["a_b"], "from": [0.0], "to": [0.5], "difference": [-0.01], "spread": [np.nan], "pairs": [1], "noise": [0.002]}
)


def runs_history() -> pd.DataFrame:
    """Two runs of two epochs."""
    return pd.DataFrame({"run": list("aabb"), "epoch": [1, 2, 1, 2], "validation_cer": [0.5, 0.1, 0.4, 0.0]})


def test_figures_of_many_runs_show_what_is_compared():
    axes = plots.curves_of_runs(runs_history(), {"a": 0.5, "b": 0.0}, "augment").axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["augment = 0.0", "augment = 0.5"]
    axes = plots.effects(EFFECTS).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a_b: 0.0 → 0.5"]
    assert "left is better" in axes.get_xlabel()
    points, best = plots.frontier(RUNS, RUNS.head(1)).axes[0].get_lines()
    assert points.get_xdata().tolist() == [10, 30] and best.get_ydata().tolist() == [5]


def test_every_figure_is_a_small_sharp_png(lines, history):
    """Each public function returns a figure of at least 110 dpi whose PNG is small."""
    figures = every_figure(lines, history)
    assert set(figures) == {name for name in plots.__all__ if name.islower()}
    for name, figure in figures.items():
        assert isinstance(figure, Figure) and figure.dpi >= 110, name
        assert 1_000 < len(png(figure)) < LARGEST, name


def test_a_page_shows_outlines_numbers_and_texts():
    register = render_page(0, columns=1, rows=3)
    axes = plots.page(register).axes[0]
    assert [text.get_text() for text in axes.texts] == [
        x for k, line in enumerate(register.lines) for x in (str(k + 1), line.text)
    ]
    outline = axes.get_lines()[0].get_xydata()
    assert np.allclose(outline[:-1], register.lines[0].polygon) and np.allclose(outline[0], outline[-1])
    assert [text.get_text() for text in plots.page(register, text=False).axes[0].texts] == ["1", "2", "3", "4"]


def test_importing_the_figures_stays_light():
    """torch and torchvision take seconds to import; only the figure of a batch needs them."""
    code = "import sys, hwrlib.plots; sys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_full_page_of_noisy_lines_is_small_enough():
    """Twelve wide scans with paper noise, the largest sheet of the course, and nine readings."""
    rng = np.random.default_rng(0)
    scans = [rng.integers(0, 31, (70, 388)).astype(np.uint8) for _ in range(12)]  # below the first of eight levels
    for scan in scans:
        scan[20:50, ::9] = 255
    assert len(png(plots.sheet(scans, ["KERMARREC"] * 12))) < LARGEST
    assert len(png(plots.readings(scans[:9], ["KERMARREC"] * 9, ["KERMAREC"] * 9))) < LARGEST


def test_dollar_signs_are_not_mathematics(lines):
    """A label of dollar signs and a backslash is drawn as it is, in every figure that writes labels."""
    label = r"$\frac$ $x_1$"
    counts = pd.Series({"$": 3, "\\": 2, "_": 1})
    reading = Reading("$_$", 0.5, tuple(Character(c, 5, 9, 0.5) for c in "$_$"))
    table = pd.DataFrame({"rate": [0.1], "low": [0.0], "high": [0.2], "lines": [3]}, [label])
    for figure in (
        plots.sheet(lines[:1], [label]),
        plots.readings(lines[:1], [label], ["$y$"], notes=["$"]),
        plots.padding(np.resize(lines[0], (2, 1, 32, 64)), [30, 64], [label] * 2),
        plots.frequencies(counts),
        plots.confusions(diagnosis.confusion_matrix(["$_$"], ["_$\\"])),
        plots.spans(lines[0], reading, "$^$"),
        plots.rates(table, overall=0.1, xlabel="group"),
        plots.trellis(alpha(16, 7), "$_$", lines[0][:, :64], stride=STRIDE),
        plots.ctc_frames(lines[0], np.eye(2)[[0, 1, 0]], ["·", "$^$"], left=0, pixels=4),
    ):
        png(figure)  # a parsed formula would raise here


def test_the_trellis_stands_under_its_ink_on_one_axis(lines):
    """Both halves span the ink's width, padding or not; frame t covers the columns it was computed from."""
    ink, text = np.resize(lines[0], (40, 254)), "LAMBERT"
    assert plots.trellis(alpha(72, 15), text, ink, stride=STRIDE).axes[1].get_xlim() == (0, 254)
    figure = plots.trellis(alpha(63, 15), text, ink, stride=STRIDE)
    line, trellis = figure.axes
    assert line.get_shared_x_axes().joined(line, trellis)
    assert line.get_xlim() == trellis.get_xlim() == (0, 254)
    assert line.images[0].get_extent()[:2] == [0, 254]
    assert trellis.images[0].get_extent()[:2] == [0, 63 * STRIDE]
    assert trellis.images[0].get_array().shape == (15, 63)
    assert "".join(label.get_text() for label in trellis.get_yticklabels()) == "–L–A–M–B–E–R–T–"
    figure.canvas.draw()
    middles = {int(label.get_text()): x for label, x in zip(trellis.get_xticklabels(), trellis.get_xticks())}
    assert middles[10] == 10 * STRIDE + STRIDE / 2
    left, right = (axes.get_window_extent() for axes in (line, trellis))
    assert (left.x0, left.x1) == pytest.approx((right.x0, right.x1))


def test_curves_count_whole_epochs(history):
    """Ticks are whole epochs, for one epoch as for many."""
    for epochs in (1, 2, 4):
        figure = plots.curves(history[:epochs], baseline=1.0)
        figure.canvas.draw()
        for axes in figure.axes:
            low, high = axes.get_xlim()
            ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
            assert ticks and all(tick == int(tick) for tick in ticks)
    assert set(range(1, 5)) <= set(ticks)


def test_the_baseline_does_not_rule_the_cer_axis(history):
    """Far above the data it is a note above the frame; near them it stands at its value."""
    error = plots.curves(history, baseline=1.0).axes[1]
    assert error.get_ylim()[1] < 50
    assert any(text.get_text().startswith("↑ 100 %") for text in error.texts)
    near = plots.curves(history.assign(validation_cer=[0.95, 0.9, 0.8, 0.7]), baseline=1.0).axes[1]
    assert list(near.lines[-1].get_ydata()) == [100, 100] and near.get_ylim()[1] > 100
    assert not any(text.get_text().startswith("↑") for text in near.texts)


def test_a_perfect_epoch_can_be_drawn(history):
    """A CER of 0 has no place on a logarithmic axis, and is drawn at its foot."""
    error = plots.curves(history.assign(validation_cer=[0.1, 0.0, 0.0, 0.0]), baseline=1.0).axes[1]
    assert 0 < error.get_ylim()[0] < min(error.lines[0].get_ydata())


@pytest.mark.parametrize(
    "truth, prediction, written",
    [
        ("ANNE", "ANNE", ["ANNE", "ANNE", "", ""]),
        ("ANNE", "ANME", ["ANNE", "AN E", "  M", "  ×"]),
        ("ANNE", "AME", ["ANNE", "A  E", " M", " ×-"]),
        ("LEO", "LENO", ["LE O", "LE O", "  N", "  +"]),
        ("LEO", "", ["LEO", "", "", "---"]),
        ("", "LEO", ["", "LEO", "", ""]),
    ],
)
def test_signs_mark_the_wrong_columns(lines, truth, prediction, written):
    """Truth, right letters, wrong ones and signs are in columns of one letter, the truth above; no truth, no signs."""
    texts = plots.readings(lines[:1], [truth], [prediction]).axes[0].texts[:4]
    assert [text.get_text() for text in texts] == written
    above, right, wrong, signs = (text.get_position()[1] for text in texts)
    assert above < right == wrong < signs
    assert {(text.get_family()[0], text.get_position()[0], text.get_size()) for text in texts} == {("monospace", 0, 10)}
    assert [text.get_color() for text in texts] == ["black", CORRECT, WRONG, WRONG]


def test_long_texts_fit_their_column(lines):
    """A reading of a hundred characters is written smaller, and stays on the page."""
    figure = plots.readings(lines[:2], ["N'OUBLIE " * 12] * 2, ["N'OUBLIE " * 12] * 2)
    figure.canvas.draw()
    assert all(text.get_window_extent().x1 <= PAGE for text in figure.axes[0].texts)


def test_before_and_after_stand_in_one_figure(lines):
    """The same lines twice, with two models' readings and a note for each: two rows in equal columns."""
    figure = plots.readings(
        lines[:3] * 2, ["ANNE", "LEO", "ZOE"] * 2, ["", "", "", "ANNE", "LEO", "2OE"], notes=["before"] * 3 + ["after"] * 3
    )
    lefts = [image.get_extent()[0] for image in figure.axes[0].images]
    assert lefts[:3] == lefts[3:] and len(set(lefts)) == 3
    assert texts(figure).count("before") == texts(figure).count("after") == 3
    assert "---" in texts(figure) and "×" in texts(figure)


def test_no_lines_make_an_empty_figure():
    """An audit without suspects shows nothing, and does not fail."""
    png(plots.readings([], [], []))
    png(plots.sheet([]))


def test_images_of_a_sheet_keep_their_proportions():
    """All at one scale, none over another, none beyond the page; the frame is the image's outline."""
    images = [np.full((30, width), 255, np.uint8) for width in (60, 250, 500)]
    axes = plots.sheet(images, ["$", "b", "c"], framed=True).axes[0]
    extents = [image.get_extent() for image in axes.images]
    widths = [right - left for left, right, _, _ in extents]
    assert widths[2] / widths[0] == pytest.approx(500 / 60, rel=0.03)
    assert max(right for _, right, _, _ in extents) <= PAGE
    for (left, right, bottom, top), frame in zip(extents, axes.patches):
        assert frame.get_visible() and frame.get_bbox().extents == pytest.approx((left, top, right, bottom))


def test_ink_is_drawn_dark_on_white_with_fixed_limits():
    """A faint image stays faint beside a full one."""
    faint, full = np.full((40, 100), 0.25), np.full((40, 100), 255, np.uint8)
    drawn = np.asarray(Image.open(io.BytesIO(png(plots.sheet([faint, full], columns=2)))).convert("L"))
    row = drawn[drawn.shape[0] // 2]
    assert row[100] > 180 and row[PAGE // 2 + 100] < 10 and row[0] == 255


def test_padding_is_hatched_and_ink_is_not():
    """The hatched part of a row begins where its image ends."""
    images = np.full((3, 1, 40, 256), 255, np.uint8)
    axes = plots.padding(images, [64, 128, 256], ["a", "b", "c"]).axes[0]
    _, *hatched = axes.patches  # the first is the strip's outline
    strip_width = axes.images[0].get_extent()[1]
    assert [patch.get_x() / strip_width for patch in hatched] == pytest.approx([66 / 260, 130 / 260, 258 / 260], abs=0.01)
    assert hatched[2].get_width() == pytest.approx(0, abs=2)
    tops = [patch.get_y() for patch in hatched]
    assert tops == sorted(tops) and all(patch.get_hatch() for patch in hatched)


def test_lines_with_too_few_frames_are_counted():
    """The title counts the lines whose ratio is below 1, and the region is marked."""
    axes = plots.frames_and_needs([10, 20, 30, 4], [10, 5, 31, 0]).axes[0]
    assert axes.get_title(loc="left") == "× below 1, too few frames: 1 of 4 lines"
    assert axes.patches[-1].get_x() == 0 and axes.patches[-1].get_width() == 1
    assert sum(patch.get_height() for patch in axes.patches[:-1]) == 4


def test_suspicions_share_bins_and_none_is_lost():
    """Both outlines are drawn over the same bins, and an infinite suspicion counts in the last one."""
    axes = plots.suspicion([30.0, 80.0, np.inf], [0.5, np.inf]).axes[0]
    others, planted = (patch.get_xy() for patch in axes.patches)
    assert sorted(set(others[:, 0])) == sorted(set(planted[:, 0]))
    assert planted[:, 0].max() == 80 and [label.get_text() for label in axes.get_legend().get_texts()] == [
        "others (n = 2)",
        "planted wrong labels (n = 3)",
    ]
    last_bin = [outline[outline[:, 0] == 80][:, 1].max() for outline in (others, planted)]
    assert last_bin == [1, 2]


def test_a_wrong_reading_is_marked_by_a_sign(lines):
    """The line under the spans says which; the letters stand over the middle of their spans."""
    characters = (Character("L", 10, 20, 0.9), Character(" ", 40, 50, 0.9))
    reading = Reading("L ", 0.9, characters)
    right, wrong, unknown = (plots.spans(lines[1], reading, truth).axes[0] for truth in ("L ", "LE", ""))
    assert "✓" in right.get_xlabel() and "× truth: LE" in wrong.get_xlabel() and unknown.get_xlabel() == "read: L "
    assert [(text.get_position()[0], text.get_text()) for text in right.texts] == [(15, "L"), (45, "␣")]


def test_frames_stand_under_their_pixels(lines):
    """The curve of the probabilities has the x-axis of the ink above it; long lines come in strips."""
    probabilities = np.tile(np.eye(2)[[0, 0, 1, 0]], (50, 1))  # 200 frames
    figure = plots.ctc_frames(np.resize(lines[0], (48, 1000)), probabilities, ["·", "A"], left=10.0, pixels=4.5)
    assert len(figure.axes) == 2 * 3
    for ink, curve in zip(figure.axes[::2], figure.axes[1::2]):
        assert ink.get_xlim() == curve.get_xlim()
    assert figure.axes[0].get_xlim()[0] == 10 and figure.axes[-1].get_xlim()[1] == pytest.approx(10 + 201 * 4.5)
