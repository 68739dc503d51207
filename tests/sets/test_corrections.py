"""hwrlib.sets.corrections: decisions change labels and drop lines, or are rejected."""

import pytest

from hwrlib.audit import save_suspects
from hwrlib.sets.corrections import apply_decisions, read_decisions
from tests.audit.examples import table_of


def test_decisions_change_labels_and_exclude_lines(dataset, tmp_path):
    names, texts = list(dataset.names), list(dataset.texts)
    rows = [
        ("validation", names[0], texts[0], "CORRECTED", 9.0, "accept"),
        ("validation", names[1], texts[1], "X", 8, "refuse"),
        ("validation", names[2], texts[2], "X", 7, "drop"),
        ("validation", names[3], texts[3], "X", 6, ""),
        ("train", "elsewhere.png", "A", "B", 5, "accept"),
    ]
    save_suspects(table_of(*rows), tmp_path / "suspects.csv")
    apply_decisions(dataset, tmp_path / "suspects.csv")
    assert dataset.texts == ["CORRECTED", texts[1], *texts[3:]] and dataset.names == names[:2] + names[3:]
    assert dataset.skipped[-1].reason == "dropped by a correction"


@pytest.mark.parametrize(
    "row, message",
    [
        (("validation", "VALIDATION_000.png", "OTHER", "B", 1, "accept"), "another version of the data set"),
        (("validation", "nowhere.png", "A", "B", 1, "accept"), "nowhere.png occurs 0 times among the lines"),
        (("validation", "VALIDATION_000.png", "A", " ", 1, "accept"), "write drop"),
        (("validation", "VALIDATION_000.png", "A", "B", 1, "yes"), "row 2: DECISION must be accept, refuse, drop or empty"),
    ],
)
def test_corrections_that_do_not_fit_are_rejected(dataset, tmp_path, row, message):
    table_of(row).to_csv(tmp_path / "suspects.csv", index=False)
    with pytest.raises(ValueError, match=message):
        apply_decisions(dataset, tmp_path / "suspects.csv")


def test_a_line_that_occurs_twice_is_rejected(tmp_path):
    table_of(("train", "a", "A", "B", 1, ""), ("train", "a", "A", "C", 1, "drop")).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(ValueError, match="row 3: a occurs here a second time"):
        read_decisions(tmp_path / "s.csv")
