"""hwrlib.live.photo: lines marked in a photo."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from hwrlib.live import PhotoReader
from hwrlib.metrics import cer
from hwrlib.synthetic.pages import render_page


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
