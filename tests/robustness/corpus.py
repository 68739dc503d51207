"""A corpus of bad input, made on the spot, and what must become of each: `python tests/robustness/corpus.py` prints the table.

Every case ends in one of three ways. *read*: it is taken as a person would expect. *skipped*: it alone is left out, and
the reason is reported. *refused*: nothing is done, and an error names the file, what is wrong and what to do.
"""

import io
import pickle
import stat
import struct
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from hwrlib.charset import Charset
from hwrlib.checkpoint import FORMAT, load_model, save_model
from hwrlib.config import TrainConfig
from hwrlib.data import LineDataset
from hwrlib.images import Normalisation, normalise
from hwrlib.model import CRNN
from hwrlib.onnx.runtime import OnnxModel
from hwrlib.sources import prepare_folder, prepare_kaggle
from hwrlib.train import fit

SIZES = Normalisation(height=16, max_width=64, min_width=16)
RAN = "code of a pickle was run"


class Case(NamedTuple):
    """One bad input."""

    kind: str
    name: str
    expected: str                     # how the outcome must begin, or what it must hold
    outcome: Callable[[Path], str]    # builds the input in an empty folder, gives it to the package, tells what happened


CASES: list[Case] = []


def case(kind: str, name: str, expected: str) -> Callable:
    """Register a function as a case."""
    def register(function: Callable[[Path], str]) -> Callable:
        CASES.append(Case(kind, name, expected, function))
        return function
    return register


def outcome_of(each: Case, folder: Path) -> str:
    """What became of a case; errors that the package documents count as refusals, any other passes through."""
    try:
        return each.outcome(folder)
    except (ValueError, FileNotFoundError) as error:     # ArchiveError is a ValueError
        return f"refused: {error}".replace(f"{folder}/", "")


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
    """Whether a file is read as the same writing as the plain word."""
    (folder / name).write_bytes(data)
    ink, plain = normalise(folder / name, SIZES).ink, normalise(word(), SIZES).ink
    if ink.shape != plain.shape:
        return f"read, but as {ink.shape}"
    difference = float(np.abs(ink.astype(int) - plain).mean())
    return "read" if difference < tolerance else f"read, but {difference:.0f} grey levels off"


def size_read(data: bytes, name: str, folder: Path) -> str:
    """Whether a file of odd size is read at all."""
    (folder / name).write_bytes(data)
    height, width = normalise(folder / name, SIZES).ink.shape
    return "read" if height == 16 and 16 <= width <= 64 else f"read, but as {height} x {width}"


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(word()).rotate(90, expand=True), "JPEG", exif=exif, quality=95)


def on_transparent() -> Image.Image:
    ink = Image.fromarray(255 - word())
    return Image.merge("LA", (Image.new("L", ink.size, 0), ink))


def png_bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 60,000 x 60,000 px."""
    data = bytearray(encoded(word()))
    data[16:24] = struct.pack(">LL", 60_000, 60_000)
    data[29:33] = struct.pack(">L", __import__("zlib").crc32(bytes(data[12:29])))
    return bytes(data)


FRAMES = [Image.fromarray(word()), Image.fromarray(255 - word())]
WHOLE_JPEG = encoded(word(), "JPEG", quality=95)
IMAGES = {   # name: (file name, bytes, expected)
    "JPEG cut in half": ("half.jpg", WHOLE_JPEG[:len(WHOLE_JPEG) // 2], "refused: half.jpg: not a readable image"),
    "empty file": ("empty.jpg", b"", "refused: empty.jpg: not a readable image"),
    "text named .jpg": ("notes.jpg", b"not an image", "refused: notes.jpg: not a readable image"),
    "PostScript named .png": ("doc.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "refused: doc.png"),
    "PNG named .jpg": ("wrong.jpg", encoded(word()), "read"),
    "decompression bomb": ("bomb.png", png_bomb(), "refused: bomb.png: not a readable image"),
    "CMYK": ("cmyk.jpg", encoded(Image.fromarray(word()).convert("CMYK"), "JPEG", quality=95), "read"),
    "16 bits": ("deep.png", encoded(Image.fromarray(word().astype(np.uint16) * 257)), "read"),
    "palette": ("palette.png", encoded(Image.fromarray(word()).convert("P")), "read"),
    "one bit": ("bilevel.png", encoded(Image.fromarray(word()).convert("1", dither=0)), "read"),
    "ink on transparency": ("alpha.png", encoded(on_transparent()), "read"),
    "EXIF-rotated": ("phone.jpg", exif_rotated(), "read"),
    "animated, the first frame": ("film.gif", encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "read"),
    "white on black": ("board.png", encoded(255 - word()), "read"),
}
for title, (file_name, content, wanted) in IMAGES.items():
    tolerance = 40.0 if title == "one bit" else 12.0
    case("image", title, wanted)(lambda folder, file_name=file_name, content=content, tolerance=tolerance: same_ink(
        content, file_name, folder, tolerance))
for title, shape in {"1 x 1 px": (1, 1), "30,000 x 4 px": (4, 30_000), "4 x 30,000 px": (30_000, 4)}.items():
    case("image", title, "read")(lambda folder, shape=shape: size_read(
        encoded(np.zeros(shape, np.uint8)), "odd.png", folder))


@case("image", "missing", "refused: gone.png: there is no such file")
def _(folder: Path) -> str:
    return size_read_missing(folder / "gone.png")


def size_read_missing(path: Path) -> str:
    return str(normalise(path, SIZES).ink.shape)


# Tables --------------------------------------------------------------------------------------------------------------

def prepared(folder: Path, table: bytes, names: tuple[str, ...] = ("a.png", "b.png", "c.png", "d.png")) -> str:
    """Prepare a table beside images of these names; what was kept, and what was left out and why."""
    (folder / "scans").mkdir()
    for name in names:
        (folder / "scans" / name).write_bytes(encoded(word()))
    (folder / "scans.csv").write_bytes(table)
    report = prepare_folder(folder / "scans", folder / "scans.csv", folder / "out", validation=0.3, test=0.3)
    texts = sorted({text for split in ("train", "validation", "test") for text in labels_of(folder / "out", split)})
    left_out = report.splits["table"].left_out
    unused = report.splits["table"].without_row
    return (f"skipped: {dict(left_out)}; " if left_out else "") + (f"{unused} images without a row; " if unused else "") + (
        f"read {texts}")


def labels_of(folder: Path, split: str) -> list[str]:
    from hwrlib.labels import read_labels
    return read_labels(folder / f"{split}.csv")["IDENTITY"].tolist()


GOOD = "a.png,ANNE\nb.png,LÉO\nc.png,ZOÉ\n"
HEAD = "FILENAME,IDENTITY\n"
TABLES = {   # name: (bytes, expected)
    "byte order mark": ((HEAD + GOOD).encode("utf-8-sig"), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "UTF-16": ((HEAD + GOOD).encode("utf-16"), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "semicolons": ((HEAD + GOOD).replace(",", ";").encode(), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "Latin-1": ((HEAD + GOOD).encode("latin-1"), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "Windows line ends": ((HEAD + GOOD).replace("\n", "\r\n").encode(), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "quotes": ((HEAD + GOOD + 'd.png,"A ""B"", C"\n').encode(), "read ['A \"B\", C', 'ANNE'"),
    "unclosed quote": ((HEAD + GOOD + 'd.png,"A\n').encode(), "refused: scans.csv, line 5"),
    "unquoted comma": ((HEAD + GOOD + "d.png,A, B\n").encode(), "refused: scans.csv, line 5: 3 cells under 2 columns; quote"),
    "missing column": (GOOD.encode(), "refused: scans.csv: no column 'FILENAME'"),
    "empty table": (b"", "refused: scans.csv: the table is empty"),
    "header alone": (HEAD.encode(), "refused: table: no row of labels there"),
    "names that look like nothing": ((HEAD + "a.png,NULL\nb.png,NA\nc.png,NaN\n").encode(), "read ['NA', 'NULL', 'NaN']"),
    "special labels": ((HEAD + GOOD + "d.png,UNREADABLE\n").encode(), "skipped: {'label UNREADABLE': 1}"),
    "empty label": ((HEAD + GOOD + "d.png,\n").encode(), "skipped: {'empty label': 1}"),
    "duplicate row": ((HEAD + GOOD + "a.png,ANNE\n").encode(), "skipped: {'duplicate file name': 1}"),
    "absolute path": ((HEAD + GOOD + "/etc/passwd,X\n").encode(), "skipped: {'unsafe file name': 1}"),
    "path with ..": ((HEAD + GOOD + "../scans.csv,X\n").encode(), "skipped: {'unsafe file name': 1}"),
    "row without an image": ((HEAD + GOOD + "gone.png,X\n").encode(), "skipped: {'image missing': 1}"),
    "image without a row": ((HEAD + GOOD).encode(), "1 images without a row; read"),
    "control character": ((HEAD + GOOD + 'd.png,"A\nB"\n').encode(), "skipped: {'control character in label': 1}"),
    "decomposed accents": (unicodedata.normalize("NFD", HEAD + GOOD).encode(), "read ['ANNE', 'LÉO', 'ZOÉ']"),
    "right to left, emoji": ((HEAD + "a.png,שלום\nb.png,سلام\nc.png,👋🏽\n").encode(), "read ['שלום', 'سلام', '👋🏽']"),
    "half of the rows bad": ((HEAD + GOOD + "x.png,X\n" * 4).encode(), "refused: table: only 3 of 7 rows are left"),
    "zeros": (b"\0" * 1000, "refused: scans.csv"),
}
for title, (content, wanted) in TABLES.items():
    case("table", title, wanted)(lambda folder, content=content: prepared(folder, content))


# Data sets and training ----------------------------------------------------------------------------------------------

def data_set(folder: Path, texts: list[str]) -> Path:
    """A set whose splits hold one image for each text."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        for number, _ in enumerate(texts):
            (folder / split / f"{number}.png").write_bytes(encoded(word()))
        rows = "".join(f'{number}.png,"{text}"\n' for number, text in enumerate(texts))
        (folder / f"{split}.csv").write_text(HEAD + rows, encoding="utf-8")
    return folder


def trained(folder: Path, **knobs) -> str:
    """Train for an epoch; how many losses are finite."""
    config = TrainConfig(**dict(data=str(folder), width=8, hidden=8, height=16, max_width=64, min_width=16, epochs=1,
                                batch_size=8, precision="fp32") | knobs)
    history = fit(config, folder / "run").history
    return f"trained, {int(history['skipped_batches'].sum())} batches skipped"


@case("data set", "a broken image among 40", "skipped: 0.png: not a readable image")
def _(folder: Path) -> str:
    data_set(folder, ["ANNE"] * 40)
    (folder / "train" / "0.png").write_bytes(b"")
    skipped = LineDataset(folder, "train", SIZES).skipped
    return f"skipped: {skipped[0].reason}".replace(f"{folder}/train/", "") if len(skipped) == 1 else str(skipped)


@case("data set", "three broken images among 40", "refused: train: 3 of 40 images cannot be read, more than 5%")
def _(folder: Path) -> str:
    data_set(folder, ["ANNE"] * 40)
    for number in range(3):
        (folder / "train" / f"{number}.png").write_bytes(b"")
    return str(LineDataset(folder, "train", SIZES))


@case("data set", "an empty split", "refused: train.csv: no labelled line in this split")
def _(folder: Path) -> str:
    (folder / "train").mkdir()
    (folder / "train.csv").write_text(HEAD)
    return str(LineDataset(folder, "train", SIZES))


@case("data set", "a split that is not there", "refused: test.csv: no such table")
def _(folder: Path) -> str:
    return str(LineDataset(folder, "test", SIZES))


@case("training", "a label too long for its image", "trained, 0 batches skipped")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["A" * 200]))


@case("training", "a label of a million characters", "trained, 0 batches skipped")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["A" * 1_000_000]))


@case("training", "every tenth label too long", "refused: train: 1 of 10 labels cannot be trained on")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 9 + ["A" * 200]))


@case("training", "a character outside the charset", "trained, 0 batches skipped")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 40 + ["ZOÉ"]), characters="ANEZO")


@case("training", "every tenth label outside the charset", "9.png: 'ZOÉ' has characters outside the charset: ['É']")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["ANNE"] * 9 + ["ZOÉ"]), characters="ANEZO")


@case("training", "right to left, emoji", "trained, 0 batches skipped")
def _(folder: Path) -> str:
    return trained(data_set(folder, ["שלום", "👋🏽", "ANNE", "سلام"] * 3))


# Checkpoints ---------------------------------------------------------------------------------------------------------

class Malicious:
    """Unpickled, it leaves a trace."""

    def __reduce__(self) -> tuple:
        return sys.modules["builtins"].exec, (f"import hwrlib; hwrlib.ran = {RAN!r}",)


def loaded(path: Path) -> str:
    load_model(path)
    return "loaded"


def good_checkpoint(path: Path) -> Path:
    charset = Charset("AENZO")
    save_model(path, model=CRNN(len(charset), width=8, hidden=8), charset=charset, normalisation=SIZES, config={}, metrics={})
    return path


@case("checkpoint", "a pickle that runs code", "refused: evil.pth: refused, since it holds more than tensors")
def _(folder: Path) -> str:
    torch.save({"format": FORMAT, "model": Malicious()}, folder / "evil.pth")
    return loaded(folder / "evil.pth")


@case("checkpoint", "a bare pickle that runs code", "refused: evil.pth: ")
def _(folder: Path) -> str:
    (folder / "evil.pth").write_bytes(pickle.dumps(Malicious()))
    return loaded(folder / "evil.pth")


@case("checkpoint", "cut short", "refused: best_model.pth: damaged or cut short")
def _(folder: Path) -> str:
    path = good_checkpoint(folder / "best_model.pth")
    path.write_bytes(path.read_bytes()[:-500])
    return loaded(path)


@case("checkpoint", "of another version", "not a checkpoint of this version of hwrlib (hwrlib-1), but 'hwrlib-0'")
def _(folder: Path) -> str:
    torch.save({"format": "hwrlib-0"}, folder / "best_model.pth")
    return loaded(folder / "best_model.pth")


@case("checkpoint", "with another charset", "refused: best_model.pth: a charset of 4 classes beside a model of 6")
def _(folder: Path) -> str:
    path = good_checkpoint(folder / "best_model.pth")
    torch.save({**torch.load(path, weights_only=True), "characters": "ANE"}, path)
    return loaded(path)


@case("checkpoint", "missing", "refused: best_model.pth: no such checkpoint")
def _(folder: Path) -> str:
    return loaded(folder / "best_model.pth")


@case("checkpoint", "an ONNX file cut short", "refused: model.onnx: not a readable ONNX file")
def _(folder: Path) -> str:
    from hwrlib.weights import SHIPPED
    (folder / "model.onnx").write_bytes(SHIPPED["names"].with_suffix(".onnx").read_bytes()[:100_000])
    OnnxModel(folder / "model.onnx")
    return "loaded"


# Archives ------------------------------------------------------------------------------------------------------------

def archive(folder: Path, *more: tuple[zipfile.ZipInfo | str, bytes]) -> str:
    """Prepare a good archive with more members; what the report refused."""
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


case("archive", "a member that climbs out", "skipped: {'unsafe name': 1}")(
    lambda folder: archive(folder, ("../climber.png", encoded(word()))))
case("archive", "an absolute member", "skipped: {'unsafe name': 1}")(
    lambda folder: archive(folder, ("/tmp/climber.png", encoded(word()))))
case("archive", "a link", "skipped: {'link or device': 1}")(lambda folder: archive(folder, (link(), b"/etc/passwd")))
case("archive", "a bomb", "refused: k.zip: ")(lambda folder: archive(folder, ("train_v2/bomb.png", bytes(400_000_000))))


@case("archive", "cut short", "refused: k.zip: ")
def _(folder: Path) -> str:
    archive(folder)
    (folder / "k.zip").write_bytes((folder / "k.zip").read_bytes()[:-200])
    prepare_kaggle(folder / "k.zip", folder / "again")
    return "read"


def main() -> None:
    """Print the table."""
    failed = 0
    for each in CASES:
        with tempfile.TemporaryDirectory() as folder:
            outcome = outcome_of(each, Path(folder))
        good = each.expected in outcome
        failed += not good
        print(f"{'ok ' if good else 'BAD'} {each.kind:10} {each.name:34} {outcome.splitlines()[0][:150]}", flush=True)
    print(f"{len(CASES)} cases, {failed} not as they must be")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
