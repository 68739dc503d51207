"""hwrlib.live without a browser: what the kernel does with strokes, and what a collector leaves on the disk."""

import csv
import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from hwrlib.live import Collector, PhotoReader, WritingPad, choose_prompts
from hwrlib.live.pad import FALLBACK, frames_of
from hwrlib.live.prompts import letter_counts
from hwrlib.live.watch import Snapshot, Watch, spread_out
from hwrlib.metrics import cer
from hwrlib.models.checkpoint import load_safely
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import read_labels
from hwrlib.synthetic.forms import Writing
from hwrlib.synthetic.hands import load_alphabets, make_hand, pen_strokes
from hwrlib.synthetic.pages import render_page

LINE = Writing("", x=40, baseline=110, height=70, pitch=75)
PROMPTS = ["EMMA", "LUCAS", "HUGO", "ZOE", "MAX"]


@pytest.fixture(scope="module")
def names() -> Recognizer:
    return Recognizer.pretrained("names")


@pytest.fixture(scope="module")
def ink():
    """The strokes of a word in a school hand, as the page sends them."""
    hand = make_hand(np.random.default_rng(3), load_alphabets(["school-0"]))

    def write(text: str) -> list:
        strokes = pen_strokes(LINE._replace(text=text), hand, np.random.default_rng(0), width=640)
        return [stroke.round(1).tolist() for stroke in strokes]

    return write


def test_a_word_is_read_at_each_stroke(names, ink):
    pad, readings = WritingPad(names), []
    pad.observe(lambda change: readings.append(change["new"].text), "reading")
    strokes = ink("EMMA")
    others = []
    for count in range(1, len(strokes) + 1):
        pad.strokes = strokes[:count]
        assert pad.shown["alternatives"] == [list(pair) for pair in pad.reading.alternatives[:4]]
        others += pad.shown["alternatives"]
    assert others  # half a word may be several words
    assert pad.reading.text == "EMMA" == readings[-1] == pad.shown["text"] and len(readings) > 4
    assert np.allclose(pad.ink["strokes"][-1], strokes[-1]) and pad.shown["confidence"] == pad.reading.confidence


def test_the_image_shows_the_ink_and_nothing_else(names):
    pad = WritingPad(names, width=300, height=100, pen=6)
    assert pad.image.shape == (100, 300) and (pad.image == 255).all()
    pad.strokes = [[(50, 50), (250, 50)]]
    rows, columns = np.nonzero(pad.image < 128)
    assert (
        46 <= rows.min() <= 48
        and 52 <= rows.max() <= 54
        and columns.min() in range(46, 51)
        and columns.max() in range(250, 255)
    )


def test_frames_stand_under_the_ink_that_they_say(names, ink):
    pad = WritingPad(names)
    pad.strokes = ink("EMMA")
    frames = pad.shown["frames"]
    assert "".join(text for _, _, text, _ in frames) in ("EMMA", "EMMMA", "EEMMA", "EMMAA")
    starts = [left for left, _, text, _ in frames if text]
    columns = [x for stroke in pad.strokes for x, _ in stroke]
    assert min(columns) - 12 <= min(starts) and max(starts) <= max(columns) and starts == sorted(starts)
    assert min(starts) < np.mean(columns) < max(starts)
    assert all(0 <= probability <= 1 and left < right <= 640 for left, right, _, probability in frames)
    assert frames_of(names, pad.image) == [tuple(frame) for frame in frames]


def test_undo_and_clear(names, ink):
    pad = WritingPad(names)
    pad.strokes = ink("LA")
    count = len(pad.strokes)
    pad.undo()
    assert len(pad.strokes) == count - 1 == len(pad.ink["strokes"])
    pad.clear()
    pad.undo()
    assert pad.strokes == [] and pad.reading is None and "text" not in pad.shown


def test_points_beyond_the_pad_are_put_on_its_edge(names):
    pad = WritingPad(names, width=100, height=50)
    pad.strokes = [[(-20, 20), (500, 70)], []]
    assert pad.strokes == [[(0.0, 20.0), (100.0, 50.0)]]


@pytest.mark.parametrize("strokes", [[[("a", 1)]], [[(1, float("nan"))]], [[(1,)]], [[None]], [[(0, 0)] * 100_001]])
def test_what_is_not_ink_is_rejected_and_the_ink_stays(names, strokes):
    pad = WritingPad(names)
    pad.strokes = [[(10, 10), (20, 60)]]
    with pytest.raises(TraitError):
        pad.strokes = strokes
    assert pad.strokes == [[(10.0, 10.0), (20.0, 60.0)]]


def test_the_page_is_answered_with_the_number_of_its_change(names, ink):
    pad = WritingPad(names)
    for change in (7, 9):  # the second one is of the same ink: it is answered, too
        pad._receive({"change": change, "strokes": ink("LA")})
        assert pad.shown["change"] == pad.ink["change"] == change and pad.shown["text"] == "LA"
    pad.clear()
    assert pad.ink == {"change": 10, "strokes": []} and pad.shown == {"change": 10}


def test_the_page_is_told_what_is_wrong_with_its_ink(names):
    pad = WritingPad(names)
    pad._receive({"change": 3, "strokes": [[("a", 1)]]})
    assert pad.shown["change"] == 3 and "list of points" in pad.shown["error"]


def test_a_page_that_cannot_show_a_pad_says_so(names):
    bundle = WritingPad(names)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"] == FALLBACK and "application/vnd.jupyter.widget-view+json" in data


# Collecting ----------------------------------------------------------------------------------------------------------


def write_all(collector: Collector, ink, count: int = 99) -> None:
    while collector.prompt and count:
        collector.strokes = ink(collector.prompt)
        collector.save()
        count -= 1


def test_a_collected_set_can_be_trained_on(names, ink, tmp_path):
    collector = Collector(tmp_path, PROMPTS, recognizer=names)
    write_all(collector, ink)
    assert collector.prompt == "" and collector.progress == "5 of 5 written" and collector.strokes == []
    train, validation = (LineDataset(tmp_path, split, names.normalisation) for split in ("train", "validation"))
    assert train.texts == ["EMMA", "LUCAS", "HUGO", "MAX"] and validation.texts == ["ZOE"] and not train.skipped
    assert names.read([train.path(0)])[0].text == "EMMA"


def test_a_new_collector_continues_where_the_last_one_ended(names, ink, tmp_path):
    write_all(Collector(tmp_path, PROMPTS, recognizer=names), ink, count=2)
    again = Collector(tmp_path, PROMPTS, recognizer=names)
    assert again.prompt == "HUGO" and again.progress == "2 of 5 written"
    write_all(again, ink)
    assert sorted(again.written) == sorted(PROMPTS) and len(list(tmp_path.rglob("*.png"))) == 5


def test_skipped_words_are_asked_again_by_the_next_collector(names, ink, tmp_path):
    collector = Collector(tmp_path, PROMPTS, recognizer=names)
    collector.skip()
    write_all(collector, ink)
    assert "EMMA" not in collector.written and Collector(tmp_path, PROMPTS, recognizer=names).prompt == "EMMA"


def test_the_last_word_can_be_taken_back(names, ink, tmp_path):
    collector = Collector(tmp_path, PROMPTS, recognizer=names)
    write_all(collector, ink, count=4)
    collector.take_back()
    assert collector.prompt == "ZOE" and list(collector.written) == PROMPTS[:3]
    assert read_labels(tmp_path / "validation.csv").empty and not list((tmp_path / "validation").iterdir())
    write_all(collector, ink)
    assert sorted(collector.written) == sorted(PROMPTS)


def test_an_image_without_a_row_is_not_part_of_the_set(names, ink, tmp_path):
    """What a kill between image and table leaves."""
    collector = Collector(tmp_path, PROMPTS, recognizer=names)
    write_all(collector, ink, count=1)
    (tmp_path / "train" / "word_0002.png").write_bytes(b"half")
    again = Collector(tmp_path, PROMPTS, recognizer=names)
    assert again.prompt == "LUCAS"
    write_all(again, ink, count=1)
    assert cv2.imread(str(tmp_path / "train" / "word_0002.png")) is not None


def test_an_empty_pad_and_a_finished_list_are_not_saved(names, ink, tmp_path):
    collector = Collector(tmp_path, ["EMMA"], recognizer=names)
    with pytest.raises(ValueError, match="write 'EMMA' on the pad"):
        collector.save()
    write_all(collector, ink)
    with pytest.raises(ValueError, match="all prompts are written"):
        collector.save()


def test_a_page_is_told_why_nothing_was_saved(names, ink, tmp_path):
    collector = Collector(tmp_path / "set", PROMPTS, recognizer=names)
    collector._receive({"action": "save", "change": 1, "strokes": []})
    assert collector.progress.startswith("Not saved: write 'EMMA'")
    (tmp_path / "set").write_text("a file where the folder should be")
    collector._receive({"action": "save", "change": 2, "strokes": ink("EMMA")})
    assert collector.progress.startswith("Not saved: ") and collector.strokes


@pytest.mark.parametrize("prompts", [[], [""], ["EMMA", "EMMA"]])
def test_prompts_must_be_different_texts(names, prompts, tmp_path):
    with pytest.raises(ValueError, match="different texts"):
        Collector(tmp_path, prompts, recognizer=names)


def test_the_table_is_one_that_every_reader_reads(names, ink, tmp_path):
    write_all(Collector(tmp_path, ["L'ETE", 'A "B"'], recognizer=names, held_out=99), ink=lambda text: ink("EMMA"))
    with open(tmp_path / "train.csv", encoding="utf-8", newline="") as file:
        assert [row["IDENTITY"] for row in csv.DictReader(file)] == ["L'ETE", 'A "B"']


def test_prompts_hold_every_letter_about_equally_often():
    words = [*(f"{a}{b}{a}" for a in "ABCDE" for b in "ABCDE"), *(f"EEE{letter}" for letter in "FGHIJKLMNOP"), "XYZ", "ZYXW"]
    chosen = choose_prompts(words, 12)
    assert len(set(chosen)) == 12 and {"XYZ", "ZYXW"} <= set(chosen)
    counts = letter_counts(chosen)
    random_counts = letter_counts(np.random.default_rng(0).choice(words, 12, replace=False).tolist())
    assert max(counts.values()) < max(random_counts.values()) and len(counts) > len(random_counts)


def test_too_few_words_to_choose_from():
    with pytest.raises(ValueError, match="9 words to choose from 2"):
        choose_prompts(["LA", "EMMA", "ZOE"], 9)


# A photo --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(ink):
    """A photo of two lines: (H, W) uint8, and the box of each."""
    photo = np.full((400, 900), 235, np.uint8)
    boxes = []
    for number, word in enumerate(("EMMA", "LUCAS")):
        strokes = [(np.array(stroke) + [100, 170 * number]).round().astype(np.int32) for stroke in ink(word)]
        cv2.polylines(photo, strokes, False, 60, 5, cv2.LINE_AA)
        boxes.append((90, 170 * number + 20, 650, 170 * number + 150))
    return photo, boxes


def encoded(photo: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", photo)[1].tobytes()


def sent(reader: PhotoReader, **content) -> dict:
    """What the page shows after it has sent this."""
    buffers = [content.pop("file")] if "file" in content else []
    reader._receive(content, buffers)
    return reader.shown


def test_marked_lines_are_read(names, page):
    photo, (first, second) = page
    reader = PhotoReader(names)
    assert sent(reader, action="open", file=encoded(photo))["lines"] == [] and reader.photo.shape == photo.shape
    assert sent(reader, action="mark", box=first)["lines"][0]["text"] == "EMMA"
    assert reader.mark((second[2], second[3], second[0], second[1])).text == "LUCAS"  # drawn from the lower right
    assert reader.text == "EMMA\nLUCAS" and reader.boxes == [first, second]
    assert sent(reader, action="undo")["lines"][0]["text"] == "EMMA" == reader.text
    assert sent(reader, action="clear")["lines"] == [] == reader.readings
    decoded = cv2.imdecode(np.frombuffer(reader.picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded.shape == photo.shape


def test_an_image_of_one_line_is_read_at_once(names, page):
    photo, ((left, top, right, bottom), _) = page
    reader = PhotoReader(names)
    reader.load(photo[top:bottom, left:right])
    assert reader.text == "EMMA" and len(reader.boxes) == 1


def test_a_large_photo_is_scaled_down_and_turned(names):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    file = io.BytesIO()
    Image.new("L", (7000, 5600), "white").save(file, "JPEG", exif=exif)
    reader = PhotoReader(names)
    reader.load(file.getvalue())
    assert reader.photo.shape == (2000, 1600)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"action": "open", "file": b"%PDF-1.7 no image"}, "not a readable image"),
        ({"action": "mark", "box": [10, 10, 12, 300]}, "at least 4 px"),
        ({"action": "mark", "box": [2000, 2000, 3000, 3000]}, "at least 4 px"),
        ({"action": "mark", "box": [0, 0, float("nan"), 9]}, "finite"),
        ({"action": "mark", "box": "all"}, "left, top, right, bottom"),
    ],
    ids=["pdf", "click", "outside", "nan", "text"],
)
def test_what_is_wrong_with_a_photo_or_a_mark_is_said_on_the_page(names, page, content, message):
    reader = PhotoReader(names)
    assert "no photo yet" in sent(reader, action="mark", box=[0, 0, 9, 9])["error"]
    reader.load(page[0])
    reader.mark(page[1][0])
    shown = sent(reader, **content)
    assert message in shown["error"] and shown["lines"][0]["text"] == "EMMA" and reader.photo.shape == page[0].shape
    assert sent(reader, action="undo")["error"] == ""


def test_a_whole_page_is_found_and_read(names):
    register, reader = render_page(0, columns=2, rows=3), PhotoReader(names)
    with pytest.raises(ValueError, match="no photo"):
        reader.read_page()
    reader.load(register.image)
    assert sent(reader, action="page")["error"] == ""
    assert (
        len(reader.boxes) == len(register.lines) and cer([reader.text], ["\n".join(x.text for x in register.lines)]) < 0.15
    )
    reader.load(np.full((900, 700), 230, np.uint8))
    assert "No line of writing" in sent(reader, action="page")["error"] and not reader.boxes


def test_of_an_animation_the_first_picture_is_read(names, page):
    photo, ((left, top, right, bottom), _) = page
    first = Image.fromarray(photo[top:bottom, left:right])
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[Image.new("L", first.size, "white")])
    reader = PhotoReader(names)
    reader.load(file.getvalue())
    assert reader.text == "EMMA"


# Training, watched ----------------------------------------------------------------------------------------------------


def test_letters_appear_while_a_network_is_trained_and_change_nothing(tiny, drawn_set, tmp_path):
    samples = [LineDataset(drawn_set, "validation", tiny().normalisation)[i] for i in range(3)]
    watch, plain = Watch(samples), fit(tiny(), tmp_path / "plain")
    watched = fit(tiny(), tmp_path / "watched", on_step=watch)
    assert watched.history["train_loss"].equals(plain.history["train_loss"])
    weights = [load_safely(run.folder / "best_model.pth")["model"] for run in (plain, watched)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len(watch.snapshots) >= 2 and watch.snapshots[0].texts == ["", "", ""]
    assert [snapshot.step for snapshot in watch.snapshots] == sorted({snapshot.step for snapshot in watch.snapshots})


def test_watching_waits_for_fifty_times_as_long_as_it_took(monkeypatch):
    clock = iter([0.0, 0.1, 0.2, 5.0, 5.2, 5.3, 15.1, 15.2])
    watch = Watch([])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(Watch, "_read", lambda self, training: [])
    training = SimpleNamespace(batch=2, losses=[0.0] * 5)
    taken = []
    for _ in range(5):
        watch(training)
        taken.append(len(watch.snapshots))
    assert taken == [1, 1, 2, 2, 3]


def test_snapshots_are_spread_out_by_factors():
    snapshots = [Snapshot(step, []) for step in range(1, 1001)]
    assert [snapshot.step for snapshot in spread_out(snapshots, 4)] == [1, 10, 100, 1000]
    assert spread_out(snapshots[:3], 4) == snapshots[:3]
