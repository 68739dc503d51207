"""A corpus of bad input, created on the fly, and what must happen to each case.

    python tests/robustness/corpus.py       # prints the table

Every case ends in one of three ways. *read*: as a person would expect. *skipped*: only this sample is skipped, and the
reason is reported. *rejected*: nothing is done, and an error names the file, what is wrong and what to do.
"""

import io
import json
import logging
import pickle
import re
import stat
import struct
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
import torch
from PIL import Image

from hwrlib.charset import Charset
from hwrlib.images import Normalisation, normalise
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import FORMAT, load_model, save_model
from hwrlib.onnx.runtime import OnnxModel
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import SPLITS, read_labels
from hwrlib.sources import prepare_folder, prepare_kaggle
from hwrlib.weights import SHIPPED

SIZES = Normalisation(height=16, max_width=64, min_width=16)
RAN = "a pickle ran its code"


class Case(NamedTuple):
    """One bad input."""

    kind: str
    name: str
    expected: str  # the outcome ("read ..."), or how it must start ("skipped ...", "rejected ...")
    outcome: Callable[[Path], str]  # creates the input in an empty folder, passes it to the package, says what happened


CASES: list[Case] = []


def case(kind: str, name: str, expected: str) -> Callable:
    """Register a function as a case."""

    def register(function: Callable[[Path], str]) -> Callable:
        CASES.append(Case(kind, name, expected, function))
        return function

    return register


def outcome_of(each: Case, folder: Path) -> str:
    """What happened to a case; a documented error means rejected, any other error is raised."""
    try:
        return each.outcome(folder)
    except (ValueError, FileNotFoundError) as error:  # ArchiveError is a ValueError
        return f"rejected: {error}".replace(f"{folder}/", "")


def as_expected(each: Case, outcome: str) -> bool:
    """Whether a case had the outcome that it must have."""
    return outcome == each.expected if each.expected.startswith("read") else outcome.startswith(each.expected)


# Images --------------------------------------------------------------------------------------------------------------


def word() -> np.ndarray:
    """Black on white, (40, 120)."""
    image = np.full((40, 120), 255, np.uint8)
    cv2.putText(image, "ANNE", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2, cv2.LINE_AA)
    return image


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """An image file's bytes."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def same_ink(data: bytes, name: str, folder: Path, tolerance: float = 12.0) -> str:
    """Whether a file gives the same ink as the plain word."""
    (folder / name).write_bytes(data)
    ink, plain = normalise(folder / name, SIZES).ink, normalise(word(), SIZES).ink
    if ink.shape != plain.shape:
        return f"read, but as {ink.shape}"
    difference = float(np.abs(ink.astype(int) - plain).mean())
    return "read" if difference < tolerance else f"read, but {difference:.0f} grey levels off"


def size_read(data: bytes, name: str, folder: Path) -> str:
    """Whether a file of unusual size is read at all."""
    (folder / name).write_bytes(data)
    height, width = normalise(folder / name, SIZES).ink.shape
    return "read" if height == 16 and 16 <= width <= 64 else f"read, but as {height} x {width}"


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    return encoded(Image.fromarray(word()).rotate(90, expand=True), "JPEG", exif=exif, quality=95)


def on_transparent(ink: int = 0) -> Image.Image:
    opacity = Image.fromarray(255 - word())
    return Image.merge("LA", (Image.new("L", opacity.size, ink), opacity))


def as_lab() -> Image.Image:
    neutral = Image.new("L", (120, 40), 128)
    return Image.merge("LAB", [Image.fromarray(word()), neutral, neutral])


def hot_pixel() -> np.ndarray:
    image = word().astype(np.uint16) * 16
    image[0, 0] = 65535
    return image


def png_bomb() -> bytes:
    """A PNG of a few hundred bytes whose header declares 60,000 x 60,000 px."""
    data = bytearray(encoded(word()))
    data[16:24] = struct.pack(">LL", 60_000, 60_000)
    data[29:33] = struct.pack(">L", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


FRAMES = [Image.fromarray(word()), Image.fromarray(255 - word())]
WHOLE_JPEG = encoded(word(), "JPEG", quality=95)
IMAGES = {  # name: (file name, bytes, expected)
    "JPEG cut in half": ("half.jpg", WHOLE_JPEG[: len(WHOLE_JPEG) // 2], "rejected: half.jpg: not a readable image"),
    "empty file": ("empty.jpg", b"", "rejected: empty.jpg: not a readable image"),
    "text named .jpg": ("notes.jpg", b"not an image", "rejected: notes.jpg: not a readable image"),
    "PostScript named .png": ("doc.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "rejected: doc.png"),
    "PNG named .jpg": ("wrong.jpg", encoded(word()), "read"),
    "decompression bomb": ("bomb.png", png_bomb(), "rejected: bomb.png: not a readable image"),
    "CMYK": ("cmyk.jpg", encoded(Image.fromarray(word()).convert("CMYK"), "JPEG", quality=95), "read"),
    "16 bits": ("deep.png", encoded(Image.fromarray(word().astype(np.uint16) * 257)), "read"),
    "palette": ("palette.png", encoded(Image.fromarray(word()).convert("P")), "read"),
    "one bit": ("bilevel.png", encoded(Image.fromarray(word()).convert("1", dither=0)), "read"),
    "ink on transparency": ("alpha.png", encoded(on_transparent()), "read"),
    "EXIF-rotated": ("phone.jpg", exif_rotated(), "read"),
    "animated, the first frame": ("film.gif", encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "read"),
    "white on black": ("board.png", encoded(255 - word()), "read"),
    "white ink on transparency": ("white.png", encoded(on_transparent(ink=255)), "read"),
    "grey levels from 0 to 1": ("float.tif", encoded(Image.fromarray((word() / 255).astype(np.float32)), "TIFF"), "read"),
    "LAB": ("lab.tif", encoded(as_lab(), "TIFF"), "read"),
    "16 bits with one hot pixel": ("hot.png", encoded(hot_pixel()), "read"),
    "EXIF tag of a wrong type": ("tag.jpg", exif_rotated().replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x07", 1), "read"),
    "JPEG 2000 cut short": ("cut.jp2", encoded(word(), "JPEG2000")[:100], "rejected: cut.jp2: not a readable image"),
    "WebP": ("scan.webp", encoded(word(), "WEBP", quality=95), "read"),
    "TIFF cut in half": ("half.tif", encoded(word(), "TIFF")[:2000], "rejected: half.tif: not a readable image"),
    "PDF named .png": ("doc.png", b"%PDF-1.7\n", "rejected: doc.png: not a readable image"),
    "SVG named .png": ("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "rejected: drawing.png"),
}
for title, (file_name, content, wanted) in IMAGES.items():
    tolerance = 40.0 if title == "one bit" else 12.0
    case("image", title, wanted)(
        lambda folder, file_name=file_name, content=content, tolerance=tolerance: same_ink(
            content, file_name, folder, tolerance
        )
    )
for title, shape in {"1 x 1 px": (1, 1), "30,000 x 4 px": (4, 30_000), "4 x 30,000 px": (30_000, 4)}.items():
    case("image", title, "read")(
        lambda folder, shape=shape: size_read(encoded(np.zeros(shape, np.uint8)), "odd.png", folder)
    )


@case("image", "missing", "rejected: gone.png: there is no such file")
def _(folder: Path) -> str:
    return str(normalise(folder / "gone.png", SIZES).ink.shape)


# Tables --------------------------------------------------------------------------------------------------------------


def prepared(folder: Path, table: bytes, images: str) -> str:
    """Import a table and images, one for each letter; which rows were kept, and which were skipped and why."""
    (folder / "scans").mkdir()
    for letter in images:
        (folder / "scans" / f"{letter}.png").write_bytes(encoded(word()))
    (folder / "scans.csv").write_bytes(table)
    report = prepare_folder(folder / "scans", folder / "scans.csv", folder / "out", validation=0.3, test=0.3)
    texts = {text for split in SPLITS for text in read_labels(folder / "out" / f"{split}.csv")["IDENTITY"]}
    skipped, unused = report.splits["table"].left_out, report.splits["table"].without_row
    parts = [f"skipped: {dict(skipped)}"] if skipped else []
    parts += [f"{unused} images without a row"] if unused else []
    return "; ".join([*parts, f"read {sorted(texts)}"])


GOOD = "a.png,ANNE\nb.png,LÉO\nc.png,ZOÉ\n"
HEAD = "FILENAME,IDENTITY\n"
REST = "read ['ANNE', 'LÉO', 'ZOÉ']"
TABLES = {  # name: (bytes, expected)
    "byte order mark": ((HEAD + GOOD).encode("utf-8-sig"), REST),
    "UTF-16": ((HEAD + GOOD).encode("utf-16"), REST),
    "semicolons": ((HEAD + GOOD).replace(",", ";").encode(), REST),
    "Latin-1": ((HEAD + GOOD).encode("latin-1"), REST),
    "Windows line endings": ((HEAD + GOOD).replace("\n", "\r\n").encode(), REST),
    "quotes": ((HEAD + GOOD + 'd.png,"A ""B"", C"\n').encode(), "read ['A \"B\", C', 'ANNE', 'LÉO', 'ZOÉ']"),
    "unclosed quote": ((HEAD + GOOD + 'd.png,"A\n').encode(), "rejected: scans.csv, line 5"),
    "unquoted comma": (
        (HEAD + GOOD + "d.png,A, B\n").encode(),
        "rejected: scans.csv, line 5: 3 cells under 2 columns; quote",
    ),
    "missing column": (GOOD.encode(), "rejected: scans.csv: no column 'FILENAME'"),
    "empty table": (b"", "rejected: scans.csv: the table is empty"),
    "only a header": (HEAD.encode(), "rejected: table: no row of labels there"),
    "names that look like missing values": (
        (HEAD + "a.png,NULL\nb.png,NA\nc.png,NaN\n").encode(),
        "read ['NA', 'NULL', 'NaN']",
    ),
    "special labels": ((HEAD + GOOD + "d.png,UNREADABLE\n").encode(), "skipped: {'label UNREADABLE': 1}; " + REST),
    "empty label": ((HEAD + GOOD + "d.png,\n").encode(), "skipped: {'empty label': 1}; " + REST),
    "duplicate row": ((HEAD + GOOD + "a.png,ANNE\n").encode(), "skipped: {'duplicate file name': 1}; " + REST),
    "absolute path": ((HEAD + GOOD + "/etc/passwd,X\n").encode(), "skipped: {'unsafe file name': 1}; " + REST),
    "path with ..": ((HEAD + GOOD + "../scans.csv,X\n").encode(), "skipped: {'unsafe file name': 1}; " + REST),
    "row without an image": ((HEAD + GOOD + "gone.png,X\n").encode(), "skipped: {'image missing': 1}; " + REST),
    "image without a row": ((HEAD + GOOD).encode(), "1 images without a row; " + REST),
    "accents in another encoding": (
        (HEAD + GOOD + "d.png,AndrÃ©\n").encode(),
        "skipped: {'accents in another encoding': 1}; " + REST,
    ),
    "control character": ((HEAD + GOOD + 'd.png,"A\nB"\n').encode(), "skipped: {'control character in label': 1}; " + REST),
    "decomposed accents": (unicodedata.normalize("NFD", HEAD + GOOD).encode(), REST),
    "right to left, emoji": ((HEAD + "a.png,שלום\nb.png,سلام\nc.png,👋🏽\n").encode(), "read ['שלום', 'سلام', '👋🏽']"),
    "half of the rows bad": ((HEAD + GOOD + "x.png,X\n" * 4).encode(), "rejected: table: only 3 of 7 rows are left"),
    "one wrong byte among accents": (
        (HEAD + GOOD).encode() + b"d.png,REN\xe9\n",
        "rejected: scans.csv, line 5: the byte 0xe9",
    ),
    "a byte of no encoding": (HEAD.encode() + b"a.png,\x81\n", "rejected: scans.csv, line 2: the byte 0x81"),
    "UTF-16 without a byte order mark": ((HEAD + GOOD).encode("utf-16-le"), "rejected: scans.csv, line 1: a NUL character"),
    "a NUL in a file name": ((HEAD + GOOD + "a\0.png,X\n").encode(), "rejected: scans.csv, line 5: a NUL character"),
    "a column twice": (
        ("FILENAME,IDENTITY,IDENTITY\n" + "a.png,A,B\n").encode(),
        "rejected: scans.csv: the columns 2 and 3 are both called",
    ),
    "Windows-1252 quotes": ((HEAD + GOOD.replace("ANNE", "‘ANNE’")).encode("cp1252"), "read ['LÉO', 'ZOÉ', '‘ANNE’']"),
    "old Macintosh line endings": ((HEAD + GOOD).replace("\n", "\r").encode(), REST),
    "blank lines": ((HEAD + GOOD).replace("\n", "\n\n").encode(), REST),
    "spaces around cells": ((HEAD + GOOD).replace(",", " , ").encode(), REST),
    "an unnamed column": ((HEAD.replace("\n", ",\n") + GOOD.replace("\n", ",\n")).encode(), REST),
    "a formula": ((HEAD + GOOD + "d.png,=1+1\n").encode(), "read ['=1+1', 'ANNE', 'LÉO', 'ZOÉ']"),
    "only zeros": (b"\0" * 1000, "rejected: scans.csv, line 1: a NUL character"),
}
for title, (content, wanted) in TABLES.items():
    images = "abcd" if b"d.png" in content or title == "image without a row" else "abc"
    case("table", title, wanted)(lambda folder, content=content, images=images: prepared(folder, content, images))


# Data sets and training ----------------------------------------------------------------------------------------------


def data_set(folder: Path, texts: list[str]) -> Path:
    """A data set whose splits have one image per text."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        for number, _ in enumerate(texts):
            (folder / split / f"{number}.png").write_bytes(encoded(word()))
        rows = "".join(f'{number}.png,"{text}"\n' for number, text in enumerate(texts))
        (folder / f"{split}.csv").write_text(HEAD + rows, encoding="utf-8")
    return folder


def trained(folder: Path, **knobs) -> str:
    """Train for an epoch; which labels were skipped, according to the log."""
    config = TrainConfig(
        **dict(
            data=str(folder),
            width=8,
            hidden=8,
            height=16,
            max_width=64,
            min_width=16,
            epochs=1,
            batch_size=8,
            precision="fp32",
        )
        | knobs
    )
    history = fit(config, folder / "run").history
    assert not history["skipped_batches"].any()  # no loss was infinite
    told = re.search(r"labels cannot be trained on: (.+)\. They are skipped", (folder / "run" / "train.log").read_text())
    return f"skipped: {told[1]}" if told else "read"


@case("data set", "a broken image among 40", "skipped: 0.png: not a readable image")
def _(folder: Path) -> str:
    data_set(folder, ["ANNE"] * 40)
    (folder / "train" / "0.png").write_bytes(b"")
    skipped = LineDataset(folder, "train", SIZES).skipped
    return f"skipped: {skipped[0].reason}".replace(f"{folder}/train/", "") if len(skipped) == 1 else str(skipped)


@case("data set", "three broken images among 40", "rejected: train: 3 of 40 images cannot be read, more than 5%")
def _(folder: Path) -> str:
    data_set(folder, ["ANNE"] * 40)
    for number in range(3):
        (folder / "train" / f"{number}.png").write_bytes(b"")
    return str(LineDataset(folder, "train", SIZES))


@case("data set", "an empty split", "rejected: train.csv: no labelled line in this split")
def _(folder: Path) -> str:
    (folder / "train").mkdir()
    (folder / "train.csv").write_text(HEAD)
    return str(LineDataset(folder, "train", SIZES))


@case("data set", "a missing split", "rejected: test.csv: no such table")
def _(folder: Path) -> str:
    return str(LineDataset(folder, "test", SIZES))


@case("training", "a label too long for its image", "skipped: 40.png: 12 frames < 399 needed")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["A" * 200]))


@case("training", "a label of a million characters", "skipped: 40.png: 12 frames < 1999999 needed")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["A" * 1_000_000]))


@case("training", "every tenth label too long", "rejected: train: 1 of 10 labels cannot be trained on")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 9 + ["A" * 200]))


@case("training", "a character outside the charset", "skipped: 40.png: 'ZOÉ' has characters outside the charset: ['É']")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["ZOÉ"]), characters="ANEZO")


@case(
    "training",
    "every tenth label outside the charset",
    "rejected: train: 1 of 10 labels cannot be trained on: 9.png: 'ZOÉ' has characters outside the charset: ['É']",
)
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 9 + ["ZOÉ"]), characters="ANEZO")


@case("training", "right to left, emoji", "read")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["שלום", "👋🏽", "ANNE", "سلام"] * 3))


# Recipes -------------------------------------------------------------------------------------------------------------

RECIPES = {  # name: (text, expected)
    "a number in another notation": ("learning_rate: 1e-3", "rejected: r.yaml: learning_rate must be float"),
    "a time for a number": ("epochs: 1:30", "rejected: r.yaml: epochs must be int, not '1:30'"),
    "an octal number": ("epochs: 010", "rejected: r.yaml: epochs must be int, not '010'"),
    "a name twice": ("epochs: 2\nepochs: 3", "rejected: r.yaml: "),
    "two documents": ("epochs: 2\n---\nepochs: 3", "rejected: r.yaml: expected a single document"),
    "a list of values": ("epochs: [2, 3]", "rejected: r.yaml: 'epochs': the file must hold `name: value` lines"),
    "a number as a name": ("1: 2", "rejected: r.yaml: 1: the file must hold `name: value` lines"),
    "no mapping": ("[1, 2]", "rejected: r.yaml: the file must hold `name: value` lines"),
    "broken YAML": ("epochs: 2\n  seed: 3", "rejected: r.yaml: mapping values are not allowed here"),
    "a tab": ("epochs:\n\t2", "rejected: r.yaml: "),
    "nested a thousand times": ("x: " + "[" * 1000 + "]" * 1000, "rejected: r.yaml: "),
    "a billion laughs": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "rejected: r.yaml: 'a': the file must hold"),
    "a Python object": ("data: !!python/object/apply:os.system [ls]", "rejected: r.yaml: could not determine a constructor"),
    "a knob that is unknown": ("epoch: 3", "rejected: r.yaml: unknown parameters ['epoch']; known are: "),
    "not a number": ("augment: .nan", "rejected: r.yaml: augment must be a finite number"),
    "infinity": ("learning_rate: .inf", "rejected: r.yaml: learning_rate must be a finite number"),
    "yes for a number": ("epochs: yes", "rejected: r.yaml: epochs must be int, not True"),
    "a seed beyond 64 bits": ("seed: 18446744073709551616", "rejected: r.yaml: seed must be at most"),
    "an image of a kilometre": ("height: 1000000000", "rejected: r.yaml: height must be at most"),
    "too few channels": ("width: 4", "rejected: r.yaml: width must be at least 8"),
    "a character twice": ("characters: ABA", "rejected: r.yaml: characters: characters that occur twice"),
    "the baseline at another height": ("model: baseline", "rejected: r.yaml: model: baseline reads images of height 64"),
    "narrower than narrow": ("min_width: 300", "rejected: r.yaml: min_width 300 exceeds max_width 256"),
    "nothing": ("", "read"),
    "only a comment": ("# nothing", "read"),
}


def recipe(folder: Path, text: str) -> str:
    (folder / "r.yaml").write_text(text, encoding="utf-8")
    TrainConfig.from_yaml(folder / "r.yaml")
    return "read"


for title, (content, wanted) in RECIPES.items():
    case("recipe", title, wanted)(lambda folder, content=content: recipe(folder, content))
case("recipe", "a folder", "rejected: r.yaml: this is a folder")(
    lambda folder: ((folder / "r.yaml").mkdir(), str(TrainConfig.from_yaml(folder / "r.yaml")))[1]
)
case("recipe", "missing", "rejected: r.yaml: no such recipe")(lambda folder: str(TrainConfig.from_yaml(folder / "r.yaml")))


# Checkpoints ---------------------------------------------------------------------------------------------------------


class Malicious:
    """Leaves a trace if it is unpickled."""

    def __reduce__(self) -> tuple:
        return sys.modules["builtins"].exec, (f"import hwrlib; hwrlib.ran = {RAN!r}",)


def loaded(path: Path) -> str:
    load_model(path)
    return "loaded"


def good_checkpoint(path: Path) -> Path:
    charset = Charset("AENZO")
    save_model(
        path, model=CRNN(len(charset), width=8, hidden=8), charset=charset, normalisation=SIZES, config={}, metrics={}
    )
    return path


@case("checkpoint", "a pickle that runs code", "rejected: evil.pth: rejected, because it holds more than tensors")
def _(folder: Path) -> str:
    torch.save({"format": FORMAT, "model": Malicious()}, folder / "evil.pth")
    return loaded(folder / "evil.pth")


@case("checkpoint", "a bare pickle that runs code", "rejected: evil.pth: rejected, because it holds more than tensors")
def _(folder: Path) -> str:
    (folder / "evil.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    return loaded(folder / "evil.pth")


@case("checkpoint", "truncated", "rejected: best_model.pth: damaged or cut short")
def _(folder: Path) -> str:
    path = good_checkpoint(folder / "best_model.pth")
    path.write_bytes(path.read_bytes()[:-500])
    return loaded(path)


@case(
    "checkpoint",
    "of another version",
    "rejected: best_model.pth: not a checkpoint of this version of hwrlib (hwrlib-1), but 'hwrlib-0'",
)
def _(folder: Path) -> str:
    torch.save({"format": "hwrlib-0"}, folder / "best_model.pth")
    return loaded(folder / "best_model.pth")


@case("checkpoint", "with another charset", "rejected: best_model.pth: a charset of 4 classes beside a model of 6")
def _(folder: Path) -> str:
    path = good_checkpoint(folder / "best_model.pth")
    torch.save({**torch.load(path, weights_only=True), "characters": "ANE"}, path)
    return loaded(path)


CHANGES = {  # name: (change of a good checkpoint, what the message says)
    "that declares a size it does not hold": (lambda c: c["arguments"].update(hidden=60_000), "has the shape"),
    "that declares 300 million classes": (lambda c: c["arguments"].update(num_classes=300_000_000), "has the shape"),
    "of a million layers": (lambda c: c["arguments"].update(layers=1_000_000), "layers must be an integer from 1 to 32"),
    "with weights that are not numbers": (
        lambda c: c["model"]["classifier.bias"].fill_(float("nan")),
        "classifier.bias holds values that are not numbers",
    ),
    "with a stretched weight": (
        lambda c: c["model"].update({"classifier.weight": torch.zeros(1, 1).expand_as(c["model"]["classifier.weight"])}),
        "classifier.weight is not stored in full",
    ),
    "without a weight": (lambda c: c["model"].pop("classifier.bias"), "weights are missing or unknown: classifier.bias"),
    "with a height of nothing": (lambda c: c["normalisation"].update(height=0), "height must be an integer from 1"),
    "with a list as charset": (lambda c: c.update(characters=["A"]), "a charset is a text, not list"),
}
for title, (change, message) in CHANGES.items():

    @case("checkpoint", title, "rejected: best_model.pth: its parts do not fit this version of hwrlib")
    def _(folder: Path, change: Callable = change, message: str = message) -> str:
        path = good_checkpoint(folder / "best_model.pth")
        content = torch.load(path, weights_only=True)
        change(content)
        torch.save(content, path)
        try:
            return loaded(path)
        except ValueError as error:
            assert message in str(error), error
            raise


@case("checkpoint", "compressed", "rejected: bomb.pth: rejected, because its contents are compressed")
def _(folder: Path) -> str:
    with (
        zipfile.ZipFile(good_checkpoint(folder / "best_model.pth")) as source,
        zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
    return loaded(folder / "bomb.pth")


@case("checkpoint", "missing", "rejected: best_model.pth: no such checkpoint")
def _(folder: Path) -> str:
    return loaded(folder / "best_model.pth")


@case("checkpoint", "a truncated ONNX file", "rejected: model.onnx: not a readable ONNX file")
def _(folder: Path) -> str:
    (folder / "model.onnx").write_bytes(SHIPPED["names"].read_bytes()[:100_000])
    OnnxModel(folder / "model.onnx")
    return "loaded"


def onnx_with(folder: Path, **metadata: object) -> str:
    """Load shipped weights with other metadata."""
    proto = onnx.load(SHIPPED["names"])
    proto.metadata_props[0].value = json.dumps(json.loads(proto.metadata_props[0].value) | metadata)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    OnnxModel(folder / "model.onnx")
    return "loaded"


for name, value in {"stride": 0, "characters": "AB", "normalisation": None, "config": [1], "format": "other"}.items():
    wanted = "not a model of this version" if name == "format" else "its parts do not fit together"
    case("checkpoint", f"an ONNX file with the {name} {value!r}", f"rejected: model.onnx: {wanted}")(
        lambda folder, name=name, value=value: onnx_with(folder, **{name: value})
    )


# Archives ------------------------------------------------------------------------------------------------------------


def archive(folder: Path, *more: tuple[zipfile.ZipInfo | str, bytes]) -> str:
    """Import a good archive with additional members; which of them the report counts as skipped."""
    with zipfile.ZipFile(folder / "k.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for split in ("train", "validation", "test"):
            file.writestr(f"written_name_{split}_v2.csv", HEAD + GOOD)
            for name in ("a.png", "b.png", "c.png"):
                file.writestr(f"{split}_v2/{split}/{name}", encoded(word()))
        for name, data in more:
            file.writestr(name, data)
    report = prepare_kaggle(folder / "k.zip", folder / "out")
    outside = sorted(path.name for path in folder.parent.rglob("climber*"))
    assert not outside, outside
    return f"skipped: {dict(report.refused)}"


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("train_v2/train/climber.png")
    info.external_attr = (stat.S_IFLNK | 0o644) << 16
    return info


case("archive", "a member outside the folder", "skipped: {'unsafe name': 1}")(
    lambda folder: archive(folder, ("../climber.png", encoded(word())))
)
case("archive", "an absolute member", "skipped: {'unsafe name': 1}")(
    lambda folder: archive(folder, ("/tmp/climber.png", encoded(word())))
)
case("archive", "a link", "skipped: {'link or device': 1}")(lambda folder: archive(folder, (link(), b"/etc/passwd")))
case("archive", "a decompression bomb", "rejected: k.zip: unpacks to 400.0 MB")(
    lambda folder: archive(folder, ("train_v2/bomb.png", bytes(400_000_000)))
)


case("archive", "a member with a name of 300 characters", "skipped: {}")(
    lambda folder: archive(folder, ("train_v2/train/" + "n" * 300 + ".png", encoded(word())))
)
case("archive", "a file beside a folder of the same name", "skipped: {}")(
    lambda folder: archive(folder, ("train_v2/train/q", b"x"), ("train_v2/train/q/r.png", encoded(word())))
)


@case("archive", "truncated", "rejected: k.zip: not a zip archive, or damaged")
def _(folder: Path) -> str:
    archive(folder)
    (folder / "k.zip").write_bytes((folder / "k.zip").read_bytes()[:-200])
    prepare_kaggle(folder / "k.zip", folder / "again")
    return "read"


def main() -> None:
    """Print the table."""
    logging.getLogger().addHandler(logging.NullHandler())  # keeps what trainings log out of it
    failed = 0
    for each in CASES:
        with tempfile.TemporaryDirectory() as folder:
            outcome = outcome_of(each, Path(folder))
        good = as_expected(each, outcome)
        failed += not good
        print(f"{'ok ' if good else 'BAD'} {each.kind:10} {each.name:37} {outcome.splitlines()[0][:150]}", flush=True)
    print(f"{len(CASES)} cases, {failed} with another outcome than expected")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
