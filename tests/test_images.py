"""hwrlib.images: every kind of image becomes ink of one form; augmentation stays within bounds."""

import errno
import io
import os
import struct
import warnings

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from hwrlib.augment import augment, erase
from hwrlib.common.files import find_images
from hwrlib.decode import MAX_PIXELS, to_grey
from hwrlib.images import Normalisation, _evenly_lit, normalise
from hwrlib.sets.dataset import LineDataset
from hwrlib.sources import prepare_folder
from hwrlib.synthetic.paper import photograph

SIZES = Normalisation(height=32, max_width=128, min_width=32)


@pytest.fixture
def word(draw) -> np.ndarray:
    return draw("ELENA")


def ink_of(image, normalisation: Normalisation = SIZES) -> np.ndarray:
    return normalise(image, normalisation).ink.astype(int)


def alike(a: np.ndarray, b: np.ndarray, limit: float = 3.0) -> bool:
    """Same shape, and on average at most so many grey levels apart."""
    return a.shape == b.shape and np.abs(a - b).mean() < limit


# Any image -----------------------------------------------------------------------------------------------------------


def test_result_is_ink_of_the_asked_size(word):
    result = normalise(word, SIZES)
    assert result.ink.dtype == np.uint8 and result.ink.shape[0] == 32 and 32 <= result.ink.shape[1] <= 128
    assert result.ink.max() == 255 and result.ink.min() == 0 and 0.1 < (result.ink > 128).mean() < 0.5


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


def test_white_on_black_is_inverted(word):
    assert alike(ink_of(255 - word), ink_of(word))


@pytest.mark.parametrize("paper, ink", [(200, 20), (255, 120), (140, 60), (60, 200)])
def test_grey_paper_and_pale_ink_are_stretched(word, paper, ink):
    grey = (ink + (paper - ink) * (word / 255)).astype(np.uint8)
    assert alike(ink_of(grey), ink_of(word), limit=6)


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
    "orientation, turned", [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)]
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


@pytest.mark.parametrize("shape", [(1, 1), (4, 30_000), (30_000, 4), (1, 500), (500, 1), (2, 2)])
@pytest.mark.parametrize("value", [0, 255, "noise"])
def test_odd_sizes(shape, value):
    image = (
        np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        if value == "noise"
        else np.full(shape, value, np.uint8)
    )
    ink = normalise(image, SIZES).ink
    assert ink.shape[0] == 32 and 32 <= ink.shape[1] <= 128


def test_an_empty_sheet_has_no_ink():
    sheet = np.random.default_rng(0).integers(245, 256, (40, 200), dtype=np.uint8)  # paper with a little noise
    assert ink_of(sheet).max() < 128 and ink_of(np.full((40, 200), 255, np.uint8)).max() == 0


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


# Sizes and places ----------------------------------------------------------------------------------------------------


def test_the_aspect_is_kept():
    image = np.full((80, 200), 255, np.uint8)
    image[20:60, 50:110] = 0  # 40 x 60 px of ink
    ink = ink_of(image, Normalisation(height=32, max_width=128, min_width=32)) > 128
    height, width = np.flatnonzero(ink.any(1)).size, np.flatnonzero(ink.any(0)).size
    assert width / height == pytest.approx(60 / 40, rel=0.05)


def test_a_squeezed_line_keeps_some_of_its_height():
    image = np.full((40, 1000), 255, np.uint8)
    image[:, np.arange(1000) % 20 < 6] = 0  # strokes 40 px high
    heights = {
        stretch: int((ink_of(image, Normalisation(32, 128, 32, stretch)) > 40).any(1).sum()) for stretch in (1.0, 1.7)
    }
    assert heights == {1.0: round(40 * 128 / 1000), 1.7: round(1.7 * 40 * 128 / 1000)}


def form_field() -> np.ndarray:
    """Letters 20 px high in the middle of 60 rows of paper."""
    image = np.full((60, 200), 255, np.uint8)
    for left in range(20, 180, 20):
        image[20:40, left : left + 8] = 0
    return image


@pytest.mark.parametrize("edge", [slice(0, 8), slice(52, 60)])
def test_a_neighbouring_line_cut_by_the_edge_is_erased(edge):
    image = form_field()
    for left in range(30, 170, 14):
        image[edge, left : left + 6] = 0
    assert np.array_equal(ink_of(image), ink_of(form_field()))


@pytest.mark.parametrize(
    "what, place",
    [
        ("two pieces", (slice(0, 8), [40, 60])),
        ("ascenders", (slice(0, 20), [20, 40, 60, 80])),
        ("pieces too deep", (slice(0, 18), [30, 70, 110, 150])),
    ],
)
def test_ink_at_the_edge_that_is_no_other_line_stays(what, place):
    image, (rows, lefts) = form_field(), place
    for left in lefts:
        image[rows, left : left + 6] = 0
    assert normalise(image, SIZES).scale == pytest.approx(32 / (40 + 3), rel=0.01), what  # the ink box begins at row 0


def test_full_stops_at_the_edge_stay():
    image = form_field()[:42]  # two rows of paper under the letters
    image[36:42, 32:36] = image[36:42, 72:76] = image[36:42, 112:116] = 0
    bare = ink_of(form_field()[:42])
    assert (ink_of(image) > 128).sum() > (bare > 128).sum()


def test_a_narrow_line_is_padded_with_paper_at_the_right():
    image = np.full((16, 9), 255, np.uint8)
    image[:, 3:5] = 0  # scaled by 2, 8 px wide with its margin
    result = normalise(image, SIZES)
    assert result.ink.shape == (32, 32) and result.ink[:, 16:].max() == 0 and result.ink[:, :16].max() == 255


@pytest.mark.parametrize("height, width", [(20, 90), (60, 300), (40, 900)])
def test_columns_lead_back_to_the_pixels_of_the_original(height, width):
    for stroke in (25, width // 2, width - 30):
        image = np.full((height, width), 255, np.uint8)
        image[2:-2, 8:12] = image[2:-2, -12:-8] = 0  # the ends of the writing
        image[2:-2, stroke : stroke + 4] = 0
        result = normalise(image, SIZES)
        column = (stroke + 2 - result.left) * result.scale  # where the stroke's middle should be
        nearby = result.ink[:, max(int(column) - 1, 0) : int(column) + 2]
        assert nearby.max() > 60, (stroke, column)
        profile = result.ink.max(0).astype(float)
        window = np.arange(max(int(column - 4 * result.scale) - 1, 0), min(int(column + 4 * result.scale) + 2, len(profile)))
        centre = (profile[window] * (window + 0.5)).sum() / profile[window].sum()
        assert result.left + centre / result.scale == pytest.approx(stroke + 2, abs=0.5 / result.scale + 0.5)


# Images that decoders stumble over ------------------------------------------------------------------------------------

WORD = np.full((48, 160), 255, np.uint8)
WORD[10:38, 20:24] = WORD[34:38, 20:50] = WORD[10:38, 90:94] = 0


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


def test_what_prepare_keeps_is_what_can_be_read(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abcdefg":
        floats = (WORD / 255).astype(np.float32)
        floats[0, 0] = np.nan if name == "g" else 1  # Pillow decodes it, but no grey level follows from it
        Image.fromarray(floats).save(tmp_path / f"images/{name}.tif")
    (tmp_path / "table.csv").write_text("FILENAME,IDENTITY\n" + "".join(f"{name}.tif,ANNE\n" for name in "abcdefg"))
    report = prepare_folder(tmp_path / "images", tmp_path / "table.csv", tmp_path / "set", validation=0.3, test=0.3)
    assert sum(counts.kept for split, counts in report.splits.items() if split != "table") == 6


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


# Augmentation --------------------------------------------------------------------------------------------------------


@pytest.fixture
def inks() -> torch.Tensor:
    images = torch.zeros(6, 1, 32, 96, dtype=torch.uint8)
    images[:, :, 12:20, 30:66] = torch.randint(
        100, 256, (6, 1, 8, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return images


WIDTHS = torch.tensor([96, 66, 70, 80, 90, 96])


def test_strength_0_changes_nothing(inks):
    images, widths = augment(inks, WIDTHS, 0)
    assert torch.equal(images, inks.float() / 255) and torch.equal(widths, WIDTHS)


def test_the_seed_decides(inks):
    torch.manual_seed(3)
    (first, widths), (other, _) = augment(inks, WIDTHS), augment(inks, WIDTHS)
    torch.manual_seed(3)
    again, same_widths = augment(inks, WIDTHS)
    assert torch.equal(again, first) and torch.equal(widths, same_widths)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_shape_range_and_paper_corners(inks, strength):
    torch.manual_seed(0)
    for _ in range(10):
        images, widths = augment(inks, WIDTHS, strength)
        assert images.shape[:3] == inks.shape[:3] and images.dtype == torch.float32
        assert (widths >= WIDTHS).all() and widths.max() <= images.shape[3] and images.shape[3] % 32 == 0
        assert 0 <= images.min() and images.max() <= 1
        for corner in (images[..., 0, 0], images[..., 0, -1], images[..., -1, 0], images[..., -1, -1]):
            assert (corner == 0).all()


@pytest.mark.parametrize("width", [20, 96, 640])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_first_and_the_last_letter_of_a_line_are_never_cut_off(width, strength):
    torch.manual_seed(0)
    lines = torch.zeros(64, 1, 40, 640, dtype=torch.uint8)
    lines[..., 3:7] = lines[..., width - 7 : width - 3] = (
        255  # the first letter and the last, with the margin of `normalise`
    )
    images, widths = augment(lines, torch.full((64,), width), strength)
    for image, end in zip(images[:, 0, 19:21], widths.tolist()):  # rows that the bars cross wherever they are moved
        assert (image[:, end:] < 0.02).all()  # no ink beyond the line's width
        bars = ((image > 0.05).float().diff(dim=1, prepend=torch.zeros(2, 1)) > 0).sum(1)
        assert (bars == 2).all() and image.sum() > 0.5


def test_what_moves_in_from_outside_is_paper():
    torch.manual_seed(0)
    images, _ = augment(torch.full((32, 1, 32, 96), 255, dtype=torch.uint8), torch.full((32,), 96))
    edges = torch.cat([images[..., 0, :].flatten(1), images[..., -1, :].flatten(1)], 1)
    assert (edges.amin(1) == 0).any() and images.amax((1, 2, 3)).min() > 0.5


def test_every_image_is_changed_in_its_own_way_and_stays_legible(inks):
    torch.manual_seed(0)
    images, _ = augment(inks[:1].expand(16, -1, -1, -1), WIDTHS[:1].expand(16))
    assert len({image.sum().item() for image in images}) == 16
    assert (images.sum((1, 2, 3)) > 0.12 * (inks[0].float() / 255).sum()).all()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_share_of_columns_that_is_erased_is_what_was_asked_for(share):
    torch.manual_seed(0)
    images = torch.rand(200, 1, 40, 800) * 0.5 + 0.5
    erased = erase(images, share)
    covered = erased == 0
    assert torch.equal(erased[~covered], images[~covered]), "what no patch covers stays as it is"
    touched = covered.any(2)[..., 40:-40].float().mean()
    assert 0.85 * share < touched < 1.02 * share, "less only where two patches meet"
    heights = covered.sum(2)[covered.any(2)]
    assert heights.min() >= 15 and heights.max() == 40
    assert erase(images, 0) is images


# Photos ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def long_word() -> np.ndarray:
    """Three words on white, as large as in a photo: (180, 1200) uint8."""
    return cv2.resize(np.hstack([WORD] * 3), (1200, 180), interpolation=cv2.INTER_AREA)


def photographed(page: np.ndarray, light: np.ndarray) -> np.ndarray:
    return (page * light).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("darkest", [0.3, 0.6, 0.8])
def test_a_slope_of_light_and_a_shadow_leave_the_ink_as_it_is(long_word, darkest):
    sizes = Normalisation(height=48, max_width=400, min_width=32)
    expected = normalise(long_word, sizes).ink.astype(int)
    slope = np.linspace(darkest, 0.95, long_word.shape[1])[None]
    shadow = np.where(np.arange(long_word.shape[1]) < 500, darkest, 0.95)[None]
    for light in (slope, cv2.GaussianBlur(shadow, (0, 0), 12)):
        ink = normalise(photographed(long_word, light), sizes).ink.astype(int)
        assert ink.shape == expected.shape and np.abs(ink - expected).mean() < 8
        assert np.corrcoef(ink.ravel(), expected.ravel())[0, 1] > 0.97


def test_dark_ink_in_a_dark_photo_is_not_taken_for_white_on_black(long_word):
    dark = photographed(long_word, np.linspace(0.15, 0.5, long_word.shape[1])[None])
    assert np.median(dark) < 128
    assert np.corrcoef(normalise(dark, SIZES).ink.ravel(), normalise(long_word, SIZES).ink.ravel())[0, 1] > 0.97


def test_an_evenly_lit_scan_stays_as_it_is(long_word):
    for grey in (long_word, photographed(long_word, np.linspace(0.9, 1, long_word.shape[1])[None])):
        assert _evenly_lit(grey) is None


def test_the_share_of_lines_that_is_photographed_is_what_was_asked_for():
    torch.manual_seed(0)
    images = torch.zeros(400, 1, 32, 64)
    images[:, :, 8:24, 8:56] = torch.rand(400, 1, 16, 48)
    widths = torch.full((400,), 60)
    assert photograph(images, widths, 0) is images
    for share in (0.25, 1.0):
        photos = photograph(images, widths, share)
        changed = (photos != images).flatten(1).any(1).float().mean()
        # On other paper or among other lines, independently: 1 - (1 - share)^2; half of the neighbours show nothing.
        assert share <= changed <= 1 - (1 - share) ** 2 + 0.08
        assert photos.shape == images.shape and 0 <= photos.min() and photos.max() <= 1
        assert (photos[..., 60:] == 0).all(), "padding stays without ink"


def test_a_photographed_line_can_still_be_read(word):
    torch.manual_seed(1)
    ink = torch.from_numpy(normalise(word, SIZES).ink)[None, None].float().repeat(32, 1, 1, 1) / 255
    photos = photograph(ink, torch.full((32,), ink.shape[-1]), 1.0)
    letters = ink[0, 0] > 0.6
    contrast = photos[:, 0][:, letters].mean(1) - photos[:, 0][:, ink[0, 0] < 0.05].mean(1)
    assert (contrast > 0.15).all() and photos.flatten(1).std(0).mean() > 0.05
