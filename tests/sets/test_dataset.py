"""hwrlib.sets.dataset: the cache, what is skipped, and sets joined."""

import json
import os
import pickle
import unicodedata

import cv2
import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.collate import Sample, eval_loader
from hwrlib.common.files import atomic_write
from hwrlib.images import Normalisation, normalise
from hwrlib.sets import cache
from hwrlib.sets.corrections import apply_decisions
from hwrlib.sets.dataset import JoinedLines
from tests.core.examples import SMALL, opened


def cached(folder) -> list:
    """The files of the cache, without locks."""
    return sorted(path for path in (folder / ".cache").iterdir() if path.suffix != ".lock")


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the images that are decoded, as they are."""
    names = []

    def watched(path, normalisation):
        names.append(path.name)
        return normalise(path, normalisation)

    monkeypatch.setattr(cache, "normalise", watched)
    return names


# The cache -----------------------------------------------------------------------------------------------------------


def test_samples_are_the_normalised_images(folder):
    dataset = opened(folder)
    assert len(dataset) == 30 and dataset.skipped == []
    for index in (0, 7, 29):
        sample = dataset[index]
        assert np.array_equal(sample.ink, normalise(dataset.path(index), SMALL).ink)
        assert sample.text == ["LEA", "NOE", "ANNA"][index % 3] and sample.name == f"TRAIN_{index:03d}.png"
        assert sample.ink.shape[1] == dataset.widths[index]


def test_images_are_decoded_once(folder, decoded):
    opened(folder)
    assert len(decoded) == 30
    opened(folder)
    assert len(decoded) == 30


def test_a_changed_image_is_noticed(folder, decoded):
    before = opened(folder)[3].ink
    cv2.imwrite(str(folder / "train/TRAIN_003.png"), np.pad(np.zeros((20, 8), np.uint8), 12, constant_values=255))
    after = opened(folder)
    assert len(decoded) == 60 and not np.array_equal(after[3].ink, before)
    assert len(cached(folder)) == 2  # the stale one is gone


def test_a_removed_image_is_noticed(folder):
    opened(folder)
    (folder / "train/TRAIN_003.png").unlink()
    dataset = opened(folder)
    assert len(dataset) == 29 and "TRAIN_003.png" not in dataset.names
    (skipped,) = dataset.skipped
    assert skipped.name == "TRAIN_003.png" and "no such file" in skipped.reason


def test_another_normalisation_has_another_cache(folder, decoded):
    assert opened(folder)[0].ink.shape[0] == 16
    assert opened(folder, Normalisation(height=24, max_width=64, min_width=16))[0].ink.shape[0] == 24
    assert len(decoded) == 60
    opened(folder), opened(folder, Normalisation(height=24, max_width=64, min_width=16))
    assert len(decoded) == 60  # both are kept


def test_changed_labels_are_read_afresh(folder):
    opened(folder)
    table = folder / "train.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("LEA", "ZOE"), encoding="utf-8")
    assert opened(folder)[0].text == "ZOE"


def test_a_half_written_cache_is_made_anew(folder, decoded):
    expected = opened(folder)[5].ink
    (index,) = (folder / ".cache").glob("*.json")
    (ink,) = (folder / ".cache").glob("*.ink")
    index.unlink()  # killed between the ink and its index
    ink.write_bytes(b"")
    (ink.parent / f".{ink.name}.0123.partial").write_bytes(b"half")
    assert np.array_equal(opened(folder)[5].ink, expected) and len(decoded) == 60
    assert [path.suffix for path in cached(folder)] == [".ink", ".json"]


def spoiled(key: str, value) -> object:
    """A function that replaces one entry of an index."""
    return lambda index: json.dumps({**json.loads(index), key: value}).encode()


DAMAGES = {
    "ink cut short": (".ink", lambda ink: ink[:-1]),
    "ink too long": (".ink", lambda ink: ink + b"0"),
    "no ink": (".ink", lambda ink: b""),
    "index cut short": (".json", lambda index: index[: len(index) // 2]),
    "index of zeros": (".json", lambda index: bytes(len(index))),
    "nested index": (".json", lambda index: b"[" * 100_000),
    "another kind of index": (".json", lambda index: b"[1, 2]"),
    "too few widths": (".json", spoiled("widths", [32])),
    "widths that are text": (".json", spoiled("widths", ["a"] * 30)),
    "negative widths": (".json", spoiled("widths", [-32] * 30)),
    "huge widths": (".json", spoiled("widths", [10**30] * 30)),
    "broken lines beyond the end": (".json", spoiled("broken", {"99": "why"})),
    "broken lines that are a list": (".json", spoiled("broken", [1])),
    "an index without a digest": (".json", lambda index: index.replace(b"digest", b"dlgest")),
}


@pytest.mark.parametrize("suffix, damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cache_is_built_again(folder, decoded, suffix, damage):
    before = opened(folder)
    expected = [before[i].ink for i in range(30)]
    (path,) = (folder / ".cache").glob(f"*{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    after = opened(folder)
    assert len(decoded) == 60 and all(np.array_equal(after[i].ink, expected[i]) for i in range(30))
    opened(folder)
    assert len(decoded) == 60


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cache_that_another_process_replaces_stays_usable(folder, workers):
    dataset = opened(folder)
    before = [dataset[i].ink.sum() for i in range(30)]
    cv2.imwrite(str(folder / "train/TRAIN_003.png"), np.zeros((40, 90), np.uint8))
    with atomic_write(folder / "train.csv") as table:
        table.write(b"FILENAME,IDENTITY\nTRAIN_003.png,A\n")
    assert len(opened(folder)) == 1 and len(cached(folder)) == 2
    loader = eval_loader(dataset, Charset("AELNO"), batch_size=1, workers=workers)
    after = {batch.names[0]: int(batch.images.sum()) for batch in loader}
    assert [after[name] for name in dataset.names] == before


def test_caching_that_is_interrupted_leaves_nothing(folder, monkeypatch):
    def interrupt(path, normalisation):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "normalise", interrupt)
    with pytest.raises(KeyboardInterrupt):
        opened(folder)
    assert cached(folder) == []


def test_a_folder_that_is_replaced_while_it_is_cached_is_named(folder, monkeypatch):
    def replace(path, normalisation):
        if folder.exists():
            folder.rename(folder.with_name("old"))
        return normalise(folder.with_name("old") / "train" / path.name, normalisation)

    monkeypatch.setattr(cache, "normalise", replace)
    with pytest.raises(FileNotFoundError, match="set/train: removed or replaced by another process"):
        opened(folder)


def test_the_digest_follows_the_ink_and_not_the_time(folder):
    before = opened(folder)
    os.utime(folder / "train/TRAIN_003.png", (1, 1))
    touched = opened(folder)
    cv2.imwrite(str(folder / "train/TRAIN_003.png"), np.zeros((40, 90), np.uint8))
    assert before.ink_digest == touched.ink_digest != opened(folder).ink_digest


def test_a_data_set_survives_the_way_to_a_worker_process(folder):
    dataset = opened(folder)
    expected = dataset[4].ink
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[4].ink, expected)


# What is left out ----------------------------------------------------------------------------------------------------


def test_a_broken_image_is_skipped_and_reported(folder):
    (folder / "train/TRAIN_010.png").write_bytes(b"no image")
    for _ in range(2):  # made, and then read from the cache
        dataset = opened(folder)
        assert len(dataset) == 29 and dataset.names[10] == "TRAIN_011.png" and dataset[10].text == "ANNA"
        (skipped,) = dataset.skipped
        assert skipped.name == "TRAIN_010.png" and "not a readable image" in skipped.reason


def test_many_broken_images_are_refused(folder):
    for number in (3, 10):
        (folder / f"train/TRAIN_{number:03d}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="2 of 30 images cannot be read, more than 5%.*TRAIN_003.png"):
        opened(folder)


def test_special_labels_are_skipped(tmp_path, write_split):
    write_split(tmp_path, "train", ["LEA", "", "EMPTY", "unreadable", "NOE"])
    dataset = opened(tmp_path)
    assert dataset.texts == ["LEA", "NOE"] and [s.reason for s in dataset.skipped] == ["special label"] * 3


def test_a_second_row_of_an_image_is_skipped_and_decisions_still_apply(folder, tmp_path):
    with open(folder / "train.csv", "a", encoding="utf-8") as table:
        table.write("TRAIN_003.png,ZOE\nTRAIN_004.png,\n")
    dataset = opened(folder)
    assert len(dataset) == 30 and dataset.texts[3] == "LEA"
    assert [(row.name, row.reason) for row in dataset.skipped] == [
        ("TRAIN_004.png", "special label"),
        ("TRAIN_003.png", "not the first row of its image"),
    ]
    (tmp_path / "decisions.csv").write_text(
        "SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION\ntrain,TRAIN_003.png,LEA,LEO,9,accept\n", encoding="utf-8"
    )
    apply_decisions(dataset, tmp_path / "decisions.csv")
    assert dataset.texts[3] == "LEO"


def test_decomposed_file_names_are_found(folder, decoded):
    """As macOS writes them; tables of labels are composed whatever they were."""
    decomposed = unicodedata.normalize("NFD", "pages/é è.png")
    (folder / "train" / "pages").mkdir()
    (folder / "train/TRAIN_000.png").rename(folder / "train" / decomposed)
    table = (folder / "train.csv").read_text(encoding="utf-8")
    (folder / "train.csv").write_text(table.replace("TRAIN_000.png", decomposed), encoding="utf-8")
    dataset = opened(folder)
    assert dataset.names[0] == unicodedata.normalize("NFC", decomposed) and len(dataset) == 30
    assert dataset.path(0).is_file() and np.array_equal(dataset[0].ink, normalise(dataset.path(0), SMALL).ink)
    opened(folder)
    assert len(decoded) == 30


def test_the_folder_is_listed_only_if_a_file_is_missing(folder, monkeypatch):
    monkeypatch.setattr(os, "walk", lambda *_: pytest.fail("listed"))
    assert len(opened(folder)) == 30


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_named_like_an_image_is_skipped(folder):
    (folder / "train/TRAIN_003.png").unlink()
    os.mkfifo(folder / "train/TRAIN_003.png")
    (skipped,) = opened(folder).skipped
    assert skipped.name == "TRAIN_003.png" and "not a readable image" in skipped.reason


def test_what_is_not_there_is_named(tmp_path, write_split):
    with pytest.raises(FileNotFoundError, match="train.csv: no such table"):
        opened(tmp_path)
    write_split(tmp_path, "train", ["", "EMPTY"])
    with pytest.raises(ValueError, match="no labelled line"):
        opened(tmp_path)


def test_select(folder):
    dataset = opened(folder)
    expected = dataset[20].ink
    dataset.select(np.array([20, 2]), "for this test")
    assert dataset.names == ["TRAIN_020.png", "TRAIN_002.png"] and np.array_equal(dataset[0].ink, expected)
    assert len(dataset.widths) == 2 and len(dataset.skipped) == 28 and dataset.skipped[0].reason == "for this test"


def test_joined_lines_come_one_set_after_the_other(folder, tmp_path, write_split):
    write_split(tmp_path / "more", "train", ["ELLE", "A"])
    parts = [opened(folder), opened(tmp_path / "more")]
    joined = JoinedLines(parts)
    assert len(joined) == 32 and joined[31].text == "A"
    assert joined.widths.tolist() == [*parts[0].widths, *parts[1].widths]


def sample(width: int, text: str = "A", height: int = 16) -> Sample:
    return Sample(np.full((height, width), 200, np.uint8), text, f"{text}_{width}.png")


def test_rows_that_training_and_importing_both_skip(tmp_path, write_split):
    """An unusable first row of an image does not cost the good row after it."""
    write_split(tmp_path, "train", ["LEA", "NOE", "ANNA"])
    table = tmp_path / "train.csv"
    table.write_text(
        'FILENAME,IDENTITY\nTRAIN_000.png,ZoÃ©\nTRAIN_000.png,LEA\nTRAIN_001.png,"A\nB"\nTRAIN_002.png,ANNA\n', "utf-8"
    )
    dataset = opened(tmp_path)
    assert dataset.texts == ["LEA", "ANNA"]
    assert [each.reason for each in dataset.skipped] == ["accents in another encoding", "control character in label"]
