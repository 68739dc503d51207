"""hwrlib.decode: every kind of image becomes the same grey levels, and whatever else is given is named."""

import errno
import io
import os
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from hwrlib.common.files import find_images
from hwrlib.decode import MAX_PIXELS, to_grey
from hwrlib.images import Normalisation, normalise
from hwrlib.sets.dataset import LineDataset
from tests.core.examples import SIZES, WORD, alike, ink_of


def test_path_image_and_array_are_the_same(word, tmp_path):
    Image.fromarray(word).save(tmp_path / "word.png")
    for image in (
        tmp_path / "word.png",
        str(tmp_path / "word.png"),
        Image.fromarray(word),
        word[:, :, None],
        np.dstack([word] * 3),
        word.astype(np.float32) / 255,
        Image.fromarray(word).convert("RGB"),
    ):
        assert np.array_equal(ink_of(image), ink_of(word))


def test_every_way_of_giving_an_image_reads_the_same(word, tmp_path):
    """Each of these was once read as a blank image or refused with a puzzling error."""
    Image.fromarray(word).save(tmp_path / "word.png")
    given = {
        "floats to 255": word.astype(np.float64),
        "float16 to 1": (word / 255).astype(np.float16),
        "floats a little beyond 1": word / 250,
        "booleans": word > 127,
        "integers 0 and 1": (word > 127).astype(np.uint8),
        "int8 0 and 1": (word > 127).astype(np.int8),
        "int64": word.astype(np.int64),
        "uint16": word.astype(np.uint16) * 257,
        "12 of 16 bits": word.astype(np.uint16) * 16,
        "small uint16": word.astype(np.uint16),
        "big-endian uint16": word.astype(">u2") * 257,
        "int16": word.astype(np.int16) * 100,
        "bytes": (tmp_path / "word.png").read_bytes(),
        "tensor": torch.from_numpy(word),
        "float tensor, channels first": torch.from_numpy(word)[None].expand(3, -1, -1) / 255,
        "PIL floats to 1": Image.fromarray(word.astype(np.float32) / 255),
        "PIL floats a little beyond 1": Image.fromarray((word / 250).astype(np.float32)),
        "PIL floats to 255": Image.fromarray(word.astype(np.float32)),
        "PIL 1 bit": Image.fromarray(word > 127),
    }
    for name, image in given.items():
        assert alike(ink_of(image), ink_of(word), limit=10), name
    with open(tmp_path / "word.png", "rb") as file:
        assert np.array_equal(ink_of(file), ink_of(word))


@pytest.mark.parametrize(
    "image, said",
    [
        (np.full((9, 9), -0.5), "these are from -0.5 to -0.5"),
        (np.full((9, 9), 256.0), "from 256.0 to 256.0"),
        (np.full((9, 9), np.nan), "from nan to nan"),
        (np.full((9, 9), 300), "must lie in 0 ... 255"),
        (np.full((9, 9), "x"), "an array of <U1"),
        (b"not an image", "<bytes>: not a readable image"),
        ([[1, 2]], "'list' is not an image"),
        (7, "'int' is not an image"),
        (torch.zeros(2, 1, 9, 9), r"shape \(2, 1, 9, 9\)"),
    ],
)
def test_what_is_not_an_image_is_rejected_with_the_reason(image, said):
    with pytest.raises(ValueError, match=said):
        to_grey(image)


def test_transparent_paper_is_white(word, tmp_path):
    black_with_alpha = np.zeros((*word.shape, 4), np.uint8)
    black_with_alpha[..., 3] = 255 - word
    assert alike(ink_of(black_with_alpha), ink_of(word))
    Image.fromarray(black_with_alpha).save(tmp_path / "alpha.png")
    assert alike(ink_of(tmp_path / "alpha.png"), ink_of(word))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_every_mode_reads_alike(word, mode):
    image = Image.fromarray(np.where(word < 128, 0, 255).astype(np.uint8))
    assert alike(ink_of(image.convert(mode)), ink_of(np.asarray(image)))


def test_palette_with_transparency(word, tmp_path):
    image = Image.fromarray(np.where(word < 128, 1, 0).astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 10, 10, 10])  # paper is black, and transparent
    image.save(tmp_path / "palette.png", transparency=0)
    assert alike(ink_of(tmp_path / "palette.png"), ink_of(np.where(word < 128, 0, 255).astype(np.uint8)))


def test_sixteen_bits(word, tmp_path):
    wide = word.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for image in (wide, Image.fromarray(wide), tmp_path / "wide.png"):
        assert alike(ink_of(image), ink_of(word))


def test_cmyk_jpeg(word, tmp_path):
    Image.fromarray(word).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert alike(ink_of(tmp_path / "print.jpg"), ink_of(word), limit=6)


@pytest.mark.parametrize(
    "orientation, turned",
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_undone(word, tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(word).transpose(turned).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert alike(ink_of(tmp_path / "turned.jpg"), ink_of(word), limit=6)


def test_first_frame_of_an_animation(word, tmp_path):
    frames = [Image.fromarray(word), Image.fromarray(255 - word)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert alike(ink_of(tmp_path / "moving.gif"), ink_of(word))


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_files_that_are_no_images_are_named(tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken.jpg: not a readable image"):
        normalise(path, SIZES)


def test_half_a_jpeg_is_named(word, tmp_path):
    Image.fromarray(word).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="half.jpg"):
        normalise(tmp_path / "half.jpg", SIZES)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere.png: there is no such file"):
        normalise(tmp_path / "nowhere.png", SIZES)


def test_huge_images_are_refused_before_they_are_decoded(tmp_path):
    Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match="huge.png: .*exceed the limit of 50,000,000 px"):
        normalise(tmp_path / "huge.png", SIZES)


@pytest.mark.parametrize("shape", [(0, 10), (3,), (4, 4, 2), (1, 4, 4, 3)])
def test_arrays_that_are_no_images_are_refused(shape):
    with pytest.raises(ValueError, match="is not an image"):
        to_grey(np.zeros(shape))


def encoded(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_damaged_exif_data_never_cost_the_image():
    """Every tag in turn gets every type: Pillow's own transposition fails on some, reading on none."""
    image = Image.fromarray(WORD)
    exif = image.getexif()
    exif.update({0x010F: "maker", 0x0110: "model", 0x0112: 6, 0x011A: 72.0, 0x0132: "2020:01:01 00:00:00", 0x829A: 0.01})
    data = encoded(image, "JPEG", exif=exif.tobytes())
    entries = data.index(b"Exif") + 6 + 8 + 2  # of the first directory: 12 bytes each, the type from byte 2
    turned, failures = [], 0
    for place in range(entries, entries + 6 * 12, 12):
        for kind in range(13):
            damaged = data[: place + 2] + bytes([0, kind]) + data[place + 4 :]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                turned.append(to_grey(damaged).shape == (160, 48))
                try:
                    ImageOps.exif_transpose(Image.open(io.BytesIO(damaged)))
                except (struct.error, TypeError, AttributeError):
                    failures += 1
    assert failures  # else this test shows nothing
    assert np.mean(turned) > 0.7  # not where the orientation itself cannot be read


@pytest.mark.parametrize(
    "error", [struct.error, TypeError, MemoryError, AttributeError, IndexError, RecursionError, OSError]
)
def test_whatever_a_decoder_raises_is_an_error_of_this_image(error, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error("broken inside")

    path = tmp_path / "scan.png"
    Image.fromarray(WORD).save(path)
    monkeypatch.setattr(Image.Image, "convert", fail)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    for image in (path, Image.open(path)):
        with pytest.raises(ValueError, match=r"scan.png: not a readable image \(broken inside\)"):
            to_grey(image)


def test_a_lack_of_memory_is_not_an_error_of_the_image(tmp_path, monkeypatch):
    """A decoder that asks for too much is one, as long as the process has memory for the largest image."""

    def fail(*arguments, **options):
        raise MemoryError("broken inside")

    Image.fromarray(WORD).save(tmp_path / "scan.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(ValueError, match=r"scan.png: not a readable image \(broken inside\)"):
        to_grey(tmp_path / "scan.png")
    monkeypatch.setattr(np, "empty", fail)
    with pytest.raises(MemoryError):
        to_grey(tmp_path / "scan.png")


def test_too_many_open_files_are_not_an_error_of_the_image(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    Image.fromarray(WORD).save(tmp_path / "scan.png")
    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(OSError, match="Too many open files") as raised:
        to_grey(tmp_path / "scan.png")
    assert not isinstance(raised.value, ValueError)


def test_a_name_that_is_too_long_is_an_error_of_the_image(tmp_path, write_split):
    with pytest.raises(ValueError, match="x.png: not a readable image .*too long"):
        to_grey(tmp_path / f"{'x' * 5000}.png")
    write_split(tmp_path, "train", ["ANNE"] * 40)
    with open(tmp_path / "train.csv", "a") as table:
        table.write(f"{'x' * 5000}.png,ANNE\n")
    dataset = LineDataset(tmp_path, "train", SIZES)
    assert len(dataset) == 40 and "too long" in dataset.skipped[0].reason


def test_an_interrupt_is_not_an_error_of_the_image(tmp_path, monkeypatch):
    Image.fromarray(WORD).save(tmp_path / "scan.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        to_grey(tmp_path / "scan.png")


def with_alpha(ink: int) -> np.ndarray:
    """The word in one grey level on nothing."""
    return np.dstack([np.full((*WORD.shape, 3), ink, np.uint8), 255 - WORD])


def as_lab() -> Image.Image:
    grey = Image.new("L", (160, 48), 128)
    return Image.merge("LAB", [Image.fromarray(WORD), grey, grey])


HOT_PIXEL = WORD.astype(np.uint16) * 16


HOT_PIXEL[0, 0] = 65535


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray((WORD / 255).astype(np.float32)),
        encoded(Image.fromarray((WORD / 255).astype(np.float32)), "TIFF"),
        Image.fromarray(WORD.astype(np.float32)),
        WORD.astype(np.uint16),
        WORD.astype(np.uint16) * 257,
        HOT_PIXEL,
        encoded(Image.fromarray(HOT_PIXEL), "PNG"),
        with_alpha(255),
        with_alpha(255) // np.uint8([1, 1, 1, 3]),
        with_alpha(0),
        as_lab(),
        encoded(as_lab(), "TIFF"),
        Image.fromarray(WORD).convert("P").convert("PA"),
        Image.fromarray(WORD).convert("LA").convert("La"),
        Image.fromarray(WORD).convert("RGBA").convert("RGBa"),
        Image.fromarray(WORD).convert("1"),
    ],
    ids=(
        "float float-tiff float-255 uint16-255 uint16 hot hot-png white-ink pale-white-ink black-ink lab lab-tiff "
        "palette-alpha premultiplied premultiplied-rgb binary"
    ).split(),
)
def test_the_same_word_is_the_same_ink_in_every_kind_of_image(image):
    ink, expected = (normalise(each, Normalisation()).ink.astype(int) for each in (image, WORD))
    assert np.abs(ink - expected).max() <= 3


@pytest.mark.parametrize("value, said", [(np.nan, "from nan to nan"), (np.inf, "from 0 to inf"), (-100, "from -100 to 255")])
def test_grey_levels_without_a_range_are_rejected(value, said):
    """One pixel that is not a number once made the whole image blank."""
    floats = WORD.astype(np.float32)
    floats[0, 0] = value
    for image in (Image.fromarray(floats), encoded(Image.fromarray(floats), "TIFF")):
        with pytest.raises(ValueError, match=f"grey levels must be finite numbers from 0; these are {said}"):
            to_grey(image)


def test_transparent_corners_are_not_white_ink():
    sheet = np.full((48, 160, 4), 255, np.uint8)
    sheet[:9, :20, 3] = sheet[-9:, -20:, 3] = 0
    assert ink_of(sheet).max() == 0
    sheet[20:28, 30:130, :3] = 200  # a pale stroke
    assert ink_of(sheet).max() == 255 and (ink_of(sheet) > 128).mean() < 0.6


def test_values_that_do_not_fit_are_rejected_and_not_wrapped():
    with pytest.raises(ValueError, match="from 100 to 355"):
        to_grey(WORD.astype(np.int64) + 100)


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_an_empty_image_is_a_clear_error(size):
    with pytest.raises(ValueError, match="the image is empty"):
        to_grey(Image.new("L", size))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_named_like_an_image_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match="a folder, a pipe or a device"):
        to_grey(tmp_path / "pipe.png")
    with pytest.raises(FileNotFoundError):
        find_images(tmp_path)
