"""hwrlib.audit.review: decisions with keys, saved one by one."""

import pytest

from hwrlib.audit.review import Review
from hwrlib.common.files import WriteError
from hwrlib.sets.corrections import read_decisions
from tests.audit.examples import table_of


@pytest.fixture
def review(dataset, drawn_set, tmp_path):
    """Of three suspects."""
    table = table_of(*(("validation", name, text, "R<b>", 5.0, "") for name, text in zip(dataset.names[:3], dataset.texts)))
    return Review(table, drawn_set, tmp_path / "suspects.csv")


def decisions(review) -> list[str]:
    return read_decisions(review.path)["DECISION"].tolist()


def press(review, action: str, reading: str | None = None) -> None:
    """As the page does."""
    reading = review.shown["reading"] if reading is None else reading
    review._receive({"action": action, "reading": reading, "number": review.shown["number"]})


def test_each_decision_is_saved_and_the_next_suspect_shown(dataset, review, drawn_set):
    assert review.shown["name"] == dataset.names[0] and review.picture.startswith(b"\x89PNG")
    press(review, "accept", " CORRECTED ")
    press(review, "refuse")
    press(review, "accept", " ")
    assert review.position == 2 and "drop the line" in review.shown["message"]
    assert decisions(review) == ["accept", "refuse", ""]
    press(review, "back")
    press(review, "drop")
    press(review, "drop")
    assert decisions(review) == ["accept", "drop", "drop"] and review.shown["message"] == "All are decided."
    assert read_decisions(review.path)["READING"].tolist() == ["CORRECTED", "R<b>", "R<b>"]
    assert Review(review.table, drawn_set, review.path).table["DECISION"].tolist() == ["accept", "drop", "drop"]


def test_decisions_can_be_taken_back(review):
    assert not review.shown["undoable"]
    press(review, "undo")
    press(review, "accept", "CORRECTED")
    press(review, "refuse")
    press(review, "back")
    press(review, "back")
    press(review, "drop")
    assert decisions(review) == ["drop", "refuse", ""]
    for left, position in ((["accept", "refuse", ""], 0), (["accept", "", ""], 1), (["", "", ""], 0)):
        press(review, "undo")
        assert decisions(review) == left and review.position == position
    assert read_decisions(review.path)["READING"].tolist() == ["R<b>"] * 3 and not review.shown["undoable"]


def test_a_key_that_was_meant_for_the_suspect_before_is_ignored(review):
    late = {"action": "drop", "reading": "", "number": review.shown["number"]}
    review._receive(late)
    review._receive(late)
    assert decisions(review) == ["drop", "", ""]


def test_a_decision_that_cannot_be_saved_is_said_and_not_made(review, monkeypatch):
    def full(*arguments, **options):
        raise WriteError("suspects.csv: the disk is full")

    monkeypatch.setattr("hwrlib.audit.review.save_suspects", full)
    press(review, "drop")
    assert review.shown["message"] == "suspects.csv: the disk is full" and review.position == 0
    assert review.table["DECISION"].tolist() == ["", "", ""] and not review.shown["undoable"]


def test_a_suspect_whose_image_is_gone_can_be_decided(review, drawn_set, dataset, tmp_path):
    review.data = tmp_path
    review.show(0)
    assert "no such file" in review.shown["message"] and review.picture == b""
    press(review, "drop")
    assert decisions(review)[0] == "drop"
