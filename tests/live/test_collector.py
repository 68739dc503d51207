"""hwrlib.live.collector and prompts: what a collector leaves on the disk."""

import csv

import cv2
import numpy as np
import pytest

from hwrlib.live import Collector, choose_prompts
from hwrlib.live.prompts import letter_counts
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import read_labels

PROMPTS = ["EMMA", "LUCAS", "HUGO", "ZOE", "MAX"]


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
