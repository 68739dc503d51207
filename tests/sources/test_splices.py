"""hwrlib.sources.splices: lines are cut where no ink is, and a spliced image shows the text of its label."""

import csv

import cv2
import numpy as np
import pytest

from hwrlib.ctc import Symbol
from hwrlib.metrics import cer
from hwrlib.models.recognizer import Recognizer
from hwrlib.sources import splices
from hwrlib.sources.splices import CutLine, Splicer, cut, main, splice

PX = 4  # columns per frame


def bars(*columns: tuple[int, int], width: int = 120) -> np.ndarray:
    """Ink with a bar 40 px high at each range of columns."""
    ink = np.zeros((64, width), np.uint8)
    for left, right in columns:
        ink[12:52, left:right] = 255
    return ink


def at(*columns: float, confidence: float = 0.9) -> list[Symbol]:
    """A symbol in the frame of each column."""
    return [Symbol(1, int(column / PX), int(column / PX), confidence) for column in columns]


def test_cuts_are_in_columns_without_ink_between_the_letters():
    ink = bars((20, 30), (50, 60), (80, 90))
    line = cut(ink, "ABC", at(25, 55, 85), px_per_frame=PX)
    assert len(line.cuts) == 4 and (ink[:, list(line.cuts)] == 0).all()
    assert line.cuts[0] <= 20 < 30 < line.cuts[1] <= 50 < 60 < line.cuts[2] <= 80 < 90 < line.cuts[3]
    assert (line.top, line.bottom) == (12, 52) and line.spacing == pytest.approx(30 / 40, abs=0.06)


def test_letters_that_touch_are_not_cut():
    line = cut(bars((20, 60), (80, 90)), "ABC", at(30, 50, 85), px_per_frame=PX)
    assert line.cuts[1] is None and line.cuts[2] is not None


def test_printed_words_beside_the_name_are_not_part_of_it():
    line = cut(bars((0, 20), (50, 60), (80, 90)), "AB", at(55, 85), px_per_frame=PX)
    assert 20 <= line.cuts[0] <= 50


@pytest.mark.parametrize(
    ("symbols", "columns"),
    [
        ([], [(20, 30), (50, 60)]),  # too narrow for its text
        (at(25, 55, confidence=0.2), [(20, 30), (50, 60)]),  # perhaps a wrong label
        (at(45, 75), [(0, 60), (70, 80)]),  # the first letter touches what is left of it
    ],
)
def test_doubtful_lines_are_not_used(symbols, columns):
    assert cut(bars(*columns), "AB", symbols, px_per_frame=PX) is None


def test_small_letters_are_not_used():
    ink = np.zeros((64, 120), np.uint8)
    ink[30:38, 20:30] = ink[30:38, 50:60] = 255
    assert cut(ink, "AB", at(25, 55), px_per_frame=PX) is None


def lines_of(text: str, level: int, height: int = 40) -> CutLine:
    """A line whose letters are bars of one grey level."""
    ink = np.zeros((64, 20 * len(text) + 20), np.uint8)
    cuts = [10 + 20 * i for i in range(len(text) + 1)]
    for left in cuts[:-1]:
        ink[32 - height // 2 : 32 + height // 2, left + 5 : left + 15] = level
    return CutLine(ink, text, tuple(cuts), 32 - height / 2, 32 + height / 2, 0.5, 0.1)


def test_a_composition_has_the_letters_of_its_text_in_order():
    splicer = Splicer([lines_of("AX", 100), lines_of("BX", 150), lines_of("CX", 200)] * 5)
    ink = splicer.compose("CAB", 0, np.random.default_rng(0))
    peaks = [int(column.max()) for column in np.hsplit(ink[:, 10:70], 3)] if ink.shape[1] >= 80 else []
    levels = [level for level in ink.max(0).tolist() if level > 90]
    order = [level for level, before in zip(levels, [0, *levels]) if abs(level - before) > 25]
    assert order[:3] == [200, 100, 150] or peaks == [200, 100, 150]


def test_pieces_take_the_size_of_the_line_they_go_to():
    splicer = Splicer([lines_of("AB", 255, height=32)] + [lines_of("CD", 255, height=40)] * 4)
    place = next(i for i, line in enumerate(splicer.lines) if line.text == "AB")
    heights = []
    for seed in range(10):
        ink = splicer.compose("DC", place, np.random.default_rng(seed))
        heights.append(int((ink >= 128).any(1).sum()))
    assert 30 <= np.median(heights) <= 35


def test_missing_letters_and_letters_of_other_sizes_give_no_composition():
    rng = np.random.default_rng(0)
    assert Splicer([lines_of("AB", 255)]).compose("AC", 0, rng) is None
    splicer = Splicer([lines_of("AB", 255, height=16), lines_of("CD", 255, height=60)])
    place = next(i for i, line in enumerate(splicer.lines) if line.text == "AB")
    assert splicer.compose("CD", place, rng) is None


def test_a_text_is_never_one_piece_of_one_line():
    assert Splicer([lines_of("A", 255)]).compose("A", 0, np.random.default_rng(0)) is None


@pytest.fixture(scope="module")
def names(tmp_path_factory, write_split):
    """120 lines to cut, of the words that the tiny recogniser reads."""
    folder = tmp_path_factory.mktemp("data") / "names"
    write_split(folder, "train", ["LA", "ON", "ZE", "ANNE", "LEO", "ZOE"] * 20)
    return folder


def test_the_recogniser_reads_the_labels_of_spliced_images(names, run, tmp_path):
    out, texts = tmp_path / "spliced", tmp_path / "texts.csv"
    texts.write_text("text,frequency\nLEO,4\nANNE,2\nZE,1\nNOLA,9\n", encoding="utf-8")
    assert main([str(names), "--out", str(out), "--count", "40", "--checkpoint", str(run.folder), "--text", str(texts)]) == 0
    with open(out / "train.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40 and {row["IDENTITY"] for row in rows} == {"LEO", "ANNE", "ZE", "NOLA"}
    assert all(cv2.imread(str(out / "train" / row["FILENAME"]), cv2.IMREAD_UNCHANGED).shape[0] == 64 for row in rows)
    recognizer = Recognizer.from_checkpoint(run.folder / "best_model.pth", decoder=None)
    known = [row for row in rows if row["IDENTITY"] != "NOLA"]
    read = [reading.text for reading in recognizer.read([out / "train" / row["FILENAME"] for row in known])]
    labels, others = (
        [row["IDENTITY"] for row in known],
        [{"LEO": "ANNE", "ANNE": "ZE", "ZE": "LEO"}[row["IDENTITY"]] for row in known],
    )
    assert cer(labels, read) < cer(others, read) / 2  # the images show their labels, whatever the toy model's luck


def test_same_seed_same_bytes(names, run, tmp_path):
    for name in ("a", "b"):
        splice(names, tmp_path / name, count=5, checkpoint=str(run.folder), frequencies={"LEO": 1, "ZONE": 1})
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("a", "b")]
    assert files[0] == files[1] and len(files[0]) == 6


def test_an_existing_folder_is_kept(names, run, tmp_path):
    with pytest.raises(FileExistsError, match="exists already"):
        splice(names, tmp_path, count=1, checkpoint=str(run.folder))


def test_a_set_with_too_few_lines_that_can_be_cut_is_rejected(drawn_set, run, tmp_path):
    with pytest.raises(ValueError, match="can be cut between their letters"):
        splice(drawn_set, tmp_path / "out", count=1, checkpoint=str(run.folder))
    assert not (tmp_path / "out").exists()


def test_texts_of_other_letters_are_rejected(names, run, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("QUICK\n", encoding="utf-8")
    arguments = [str(names), "--out", str(tmp_path / "out"), "--checkpoint", str(run.folder), "--text"]
    assert main([*arguments, str(tmp_path / "texts.txt")]) == 2
    assert "'QUICK'" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*arguments, str(tmp_path / "none.txt")]) == 2


def test_constants_fit_together():
    assert max(splices.PIECE_LENGTHS) == splices.LONGEST_PIECE and splices.BLOCK <= splices.NEIGHBOURS
