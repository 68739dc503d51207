"""Damaged files for every reader of outside data: it must read them or raise a documented error, nothing else.

    python tests/robustness/fuzz.py                    # every reader for a minute, with random damage
    python tests/robustness/fuzz.py --seconds 600      # for ten minutes each
    python tests/robustness/fuzz.py --atheris image -max_total_time=600    # one reader, guided by coverage

The last command needs `pip install atheris`. `test_fuzz.py` gives each reader a few hundred inputs that hypothesis generates
and shrinks.
"""

import argparse
import io
import random
import shutil
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

if "--atheris" in sys.argv:  # only modules imported in this block are instrumented
    import atheris

    with atheris.instrument_imports(include=["hwrlib", "PIL", "zipfile", "csv"]):
        import hwrlib.images  # noqa: F401

import numpy as np
import onnx
import torch
from corpus import GOOD, HEAD, IMAGES, encoded, good_checkpoint, word
from PIL import Image

from hwrlib import ROOT
from hwrlib.charset import Charset
from hwrlib.decode import to_grey
from hwrlib.images import Normalisation, normalise
from hwrlib.language import CharacterModel, Decoder, Lexicon, Mixture, Words
from hwrlib.models.checkpoint import load_model
from hwrlib.models.export import to_onnx
from hwrlib.onnx.runtime import OnnxModel
from hwrlib.pages import load_page
from hwrlib.pages.cut import cut_line
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.language import read_texts
from hwrlib.sets.corrections import read_decisions
from hwrlib.sets.labels import parse_labels
from hwrlib.sources import prepare_layout
from hwrlib.synthetic.pages import render_page

LETTERS = Charset(" AB")
FRAMES = np.log(np.random.default_rng(0).dirichlet([0.4] * len(LETTERS), size=(12, 2)))  # (T, N, C)
NAMES = {"set.zip", "image.jpg", "decisions.csv", "texts.csv", "recipe.yaml"}
NAMES |= {"model.pth", "model.lm", "model.onnx", "intact.onnx", "page.xml", "page.png"}
RECIPES = sorted(ROOT.glob("notebooks/params/*.yaml"))
FOLDER = Path(tempfile.mkdtemp(prefix="hwrlib-fuzz-"))
SIZES = Normalisation()


def read_table(data: bytes) -> None:
    """A table of labels."""
    parse_labels(data, name="table.csv", columns={"FILENAME": "FILENAME", "IDENTITY": "IDENTITY"})


def read_label_decisions(data: bytes) -> None:
    """A table of decisions on suspect labels."""
    (FOLDER / "decisions.csv").write_bytes(data)
    read_decisions(FOLDER / "decisions.csv")


def read_image(data: bytes) -> None:
    """An image file."""
    (FOLDER / "image.jpg").write_bytes(data)
    ink = normalise(FOLDER / "image.jpg", SIZES).ink
    assert ink.shape[0] == SIZES.height and SIZES.min_width <= ink.shape[1] <= SIZES.max_width


def read_archive(data: bytes) -> None:
    """An archive of a data set."""
    (FOLDER / "set.zip").write_bytes(data)
    try:
        prepare_layout(FOLDER / "set.zip", FOLDER / "set")
    finally:
        shutil.rmtree(FOLDER / "set", ignore_errors=True)
    assert {path.name for path in FOLDER.iterdir()} <= NAMES | {".set.lock"}


def read_checkpoint(data: bytes) -> None:
    """A model checkpoint."""
    (FOLDER / "model.pth").write_bytes(data)
    load_model(FOLDER / "model.pth")


def read_language(data: bytes) -> None:
    """A language model with its settings, which then reads a line."""
    (FOLDER / "model.lm").write_bytes(data)
    decoder = Decoder.load(FOLDER / "model.lm")
    assert all(0 <= line.confidence <= 1 for line in decoder.decode(FRAMES, np.array([12, 7]), LETTERS))


def read_further_texts(data: bytes) -> None:
    """Texts and their frequencies."""
    (FOLDER / "texts.csv").write_bytes(data)
    read_texts(FOLDER / "texts.csv")


def read_recipe(data: bytes) -> None:
    """A recipe."""
    (FOLDER / "recipe.yaml").write_bytes(data)
    TrainConfig.from_yaml(FOLDER / "recipe.yaml")


def read_onnx(data: bytes) -> None:
    """An exported model."""
    (FOLDER / "model.onnx").write_bytes(data)
    OnnxModel(FOLDER / "model.onnx")


def read_exported(data: bytes) -> None:
    """An exported model, whose weights are taken to go on training."""
    (FOLDER / "model.onnx").write_bytes(data)
    load_model(FOLDER / "model.onnx")


def read_metadata(data: bytes) -> None:
    """What an exported model says of itself, beside an intact graph."""
    model = onnx.load(FOLDER / "intact.onnx")
    model.metadata_props[0].value = data.decode(errors="replace")
    onnx.save(model, FOLDER / "model.onnx")
    OnnxModel(FOLDER / "model.onnx")
    load_model(FOLDER / "model.onnx")


def read_exif(data: bytes) -> None:
    """A photo with such an EXIF block, which must cost nothing but the orientation; rejected if it is not turned."""
    photo = to_grey(encoded(word(), "JPEG", exif=b"Exif\0\0" + data[:60_000]))
    assert sorted(photo.shape) == sorted(word().shape)
    if photo.shape == word().shape:
        raise ValueError("no orientation in it")


def read_document(data: bytes) -> None:
    """A transcribed page, all lines of which are cut out."""
    (FOLDER / "page.xml").write_bytes(data)
    page, _ = load_page(FOLDER / "page.xml")
    assert all(0 < cut_line(page.image, line).image.size < 1e7 for line in page.lines)


def documents() -> list[bytes]:
    """A page in both formats, whose image stays beside the damaged ones."""
    page = render_page(0, columns=1, rows=2)
    page.name = "page.png"
    (FOLDER / page.name).write_bytes(encoded(page.image[::4, ::4]))
    return [page.to_alto().encode(), page.to_pagexml().encode()]


def an_exif_block() -> bytes:
    """With a tag of every type that cameras write."""
    exif = Image.Exif()
    exif.update({0x010F: "maker", 0x0112: 6, 0x011A: 72.0, 0x0132: "2026:01:01 00:00:00", 0x829A: 0.01, 0x9286: b"comment"})
    return exif.tobytes()[6:]


def an_onnx_model() -> bytes:
    """The smallest there is, which stays beside the damaged ones."""
    model, charset, normalisation = load_model(good_checkpoint(FOLDER / "model.pth"))[:3]
    return to_onnx(model, charset, normalisation, FOLDER / "intact.onnx", config={}, metrics={}).read_bytes()


def languages() -> list[bytes]:
    """Language models of each kind, as files."""
    n_gram = CharacterModel.fit(["ABBA", "BAB", "A B"], order=3, charset=LETTERS)
    kinds = [Words(["ABBA", "A"], n_gram), Mixture([(0.5, n_gram), (0.5, Lexicon(["AB"]))]), Lexicon(["ABBA", "BAB"]), None]
    return [_saved("model.lm", Decoder(kind).save) for kind in kinds]


def _saved(name: str, save: Callable[[Path], None]) -> bytes:
    save(FOLDER / name)
    return (FOLDER / name).read_bytes()


def an_archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "validation", "test"):
            archive.writestr(f"{split}.csv", HEAD + GOOD)
            for name in ("a.png", "b.png", "c.png"):
                archive.writestr(f"{split}/{name}", encoded(word()))
    return file.getvalue()


DECISIONS = b'SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION\ntrain,a.png,ANNE,ANNA,3.2,accept\ntrain,b.png,"A,B",A,1,\n'
READERS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {  # with intact files to damage
    "table": (read_table, [(HEAD + GOOD).encode(), (HEAD + GOOD).encode("utf-16"), f'{HEAD}a.png,"A ""B"""\n'.encode()]),
    "decisions": (read_label_decisions, [DECISIONS]),
    "image": (read_image, [data for _, data, expected in IMAGES.values() if expected == "read"]),
    "archive": (read_archive, [an_archive()]),
    "language": (read_language, languages()),
    "texts": (read_further_texts, ["text,frequency\nété,3\nANNE,0.5\n".encode()]),
    "recipe": (read_recipe, [b"epochs: 4\naugment: 0.5\n", *(path.read_bytes() for path in RECIPES)]),
    "exif": (read_exif, [an_exif_block()]),
    "onnx": (read_onnx, [an_onnx_model()]),
    "exported": (read_exported, [(FOLDER / "intact.onnx").read_bytes()]),
    "document": (read_document, documents()),
    "metadata": (read_metadata, [onnx.load(FOLDER / "intact.onnx").metadata_props[0].value.encode()]),
    "checkpoint": (read_checkpoint, [good_checkpoint(FOLDER / "model.pth").read_bytes()]),
}


def survives(reader: Callable[[bytes], None], data: bytes) -> bool:
    """Whether the reader accepted the data; False if it rejected them. Errors that it does not document are raised."""
    try:
        reader(data)
        return True
    except ValueError:
        return False


def damaged(data: bytes, edits: list[tuple[float, int, int]], cut: float) -> bytes:
    """A damaged copy of the data.

    Args:
        data: intact.
        edits: (place, kind, byte), places as fractions of the length; kind 0 replaces, 1 inserts, 2 deletes a byte.
        cut: fraction of the data that is kept, from the start; applied before the edits.
    """
    result = bytearray(data[: round(len(data) * cut)])
    for place, kind, byte in edits:
        index = int(place * len(result))
        if kind == 1:
            result.insert(index, byte)
        elif index < len(result) and kind == 2:
            del result[index]
        elif index < len(result):
            result[index] = byte
    return bytes(result)


def at_random(name: str, seconds: float, seed: int = 0) -> tuple[int, int]:
    """Damage files at random until the time is up; how many inputs were tried, and how many of them were read."""
    reader, intact = READERS[name]
    chance, end, tried, read = random.Random(seed), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        edits = [(chance.random(), chance.randrange(3), chance.randrange(256)) for _ in range(chance.choice((1, 2, 8, 64)))]
        cut = chance.choice((1, 1, 1, chance.random()))
        data = damaged(chance.choice(intact), edits, cut)
        try:
            read += survives(reader, data)
        except BaseException:
            Path(f"fuzz-{name}.bin").write_bytes(data)
            print(f"{name}: the input that failed is saved as fuzz-{name}.bin", flush=True)
            raise
        tried += 1
    return tried, read


def guided(name: str, arguments: list[str]) -> None:
    """Fuzz one reader with atheris; this call never returns."""
    reader, intact = READERS[name]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, data in enumerate(intact):
        (corpus / str(number)).write_bytes(data)
    atheris.Setup([sys.argv[0], str(corpus), *arguments], lambda data: survives(reader, data))
    atheris.Fuzz()


def main() -> None:
    """Run the command line (see the module)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="per reader (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--atheris", choices=READERS, help="fuzz one reader with atheris; further arguments are passed to it"
    )
    options, more = parser.parse_known_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Pillow warns about damage that it tolerates
    if options.atheris:
        guided(options.atheris, more)
    total = 0
    for name in READERS:
        tried, read = at_random(name, options.seconds, options.seed)
        total += tried
        print(
            f"{name:12} {tried:>9,} inputs tried, {read:,} read, {tried - read:,} rejected with a clear message", flush=True
        )
    print(f"{total:,} damaged inputs, all read or rejected")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
