"""hwrlib.audit: finding wrong labels, deciding on them, training with the decisions."""

import codecs
import errno
import json

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from hwrlib.audit import COLUMNS, cross_validate, fold_sets, judge, save_suspects
from hwrlib.audit.review import Review
from hwrlib.common.files import WriteError
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.runs.training_data import load_splits
from hwrlib.sets.corrections import apply_decisions, read_decisions
from hwrlib.sets.dataset import LineDataset


@pytest.fixture
def dataset(drawn_set, recognizer):
    """The validation split of the drawn words."""
    return LineDataset(drawn_set, "validation", recognizer.normalisation)


def table_of(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS)


def test_swapped_labels_are_the_first_suspects(recognizer, dataset):
    dataset.texts[3], dataset.texts[9] = "LEO", "LA"
    table = judge(recognizer, dataset)
    assert list(table.columns) == COLUMNS and len(table) == len(dataset)
    assert set(table["FILENAME"][:2]) == {dataset.names[3], dataset.names[9]}
    assert table["SUSPICION"].is_monotonic_decreasing
    assert (table["SUSPICION"][:2] > 1).all() and set(table["DECISION"]) == {""}


def test_suspicion_is_the_log_odds_of_the_two_texts(recognizer, dataset):
    dataset.texts[0] = "E"  # the image shows an A
    row = judge(recognizer, dataset).set_index("FILENAME").loc[dataset.names[0]]
    log_probs = recognizer.log_probs([dataset.path(0)])[0][:, None]
    frames = torch.tensor([len(log_probs)])
    of_reading, of_label = (
        -F.ctc_loss(
            torch.from_numpy(log_probs),
            torch.tensor([recognizer.charset.encode(text)]),
            frames,
            torch.tensor([len(text)]),
            reduction="sum",
        ).item()
        for text in (row["READING"], "E")
    )
    assert row["SUSPICION"] == pytest.approx(of_reading - of_label, rel=1e-3)


def test_a_label_the_model_cannot_write_is_infinitely_suspect(recognizer, dataset):
    dataset.texts[0], dataset.texts[1] = "Œ", "L" * 60
    assert judge(recognizer, dataset)["SUSPICION"][:2].tolist() == [np.inf, np.inf]


def test_cross_validation_judges_every_line_by_a_model_that_never_saw_it(tiny, tmp_path, monkeypatch):
    config = tiny(epochs=2)
    table = cross_validate(config, tmp_path, folds=2)
    everything, _ = load_splits(config)
    assert sorted(table["FILENAME"]) == sorted(everything.names)
    parts = [fold_sets(config, folds=2, fold=fold) for fold in range(2)]
    for trained, held_out in parts:
        assert not set(trained.names) & set(held_out.names)
        assert len(trained) + len(held_out) == len(everything)
    assert not set(parts[0][1].names) & set(parts[1][1].names)
    monkeypatch.setattr("hwrlib.runs.fit.train_one_epoch", None)  # no training is repeated
    assert cross_validate(config, tmp_path, folds=2).equals(table)


def test_judges_start_without_knowledge_of_the_labels(tiny, run, tmp_path):
    config = tiny(epochs=1, start_from=str(run.folder), patience=3, corrections=str(tmp_path / "none.csv"))
    cross_validate(config, tmp_path, folds=2)
    used = TrainConfig.from_record(json.loads((tmp_path / "fold_0" / "config.json").read_text()))
    assert (used.start_from, used.extra_data, used.corrections) == ("", "", "")
    with pytest.raises(ValueError, match="at least 2 folds, not 1"):
        cross_validate(config, tmp_path, folds=1)


def test_folds_of_changed_labels_are_rejected(tiny, drawn_set, tmp_path, write_split):
    folder = tmp_path / "set"
    for split, texts in (("train", ["A", "E", "L", "N"] * 6), ("validation", ["A"])):
        write_split(folder, split, texts)
    config = tiny(data=str(folder), epochs=1)
    cross_validate(config, tmp_path / "folds", folds=2)
    before = fold_sets(config, folds=2, fold=0)[1].names
    table = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join(table[:-1]))
    after = fold_sets(config, folds=2, fold=0)[1].names
    assert set(after) <= set(before) and len(before) - len(after) <= 1  # a line stays in its fold
    with pytest.raises(ValueError, match="started differently .the training lines, their images or their labels"):
        cross_validate(config, tmp_path / "folds", folds=2)


def test_more_folds_than_lines_are_rejected(tiny, tmp_path, write_split):
    write_split(tmp_path, "train", ["A", "E"])
    with pytest.raises(ValueError, match="2 lines are too few for 40 folds"):
        for fold in range(40):
            fold_sets(tiny(data=str(tmp_path)), folds=40, fold=fold)


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


def test_training_applies_corrections(tiny, drawn_set, tmp_path):
    save_suspects(
        table_of(("train", "TRAIN_000.png", "A", "É", 9.0, "accept"), ("train", "TRAIN_001.png", "E", "", 8.0, "drop")),
        tmp_path / "suspects.csv",
    )
    config = tiny(epochs=1, corrections=str(tmp_path / "suspects.csv"))
    train_set, _ = load_splits(config)
    assert train_set.texts[0] == "É" and "TRAIN_001.png" not in train_set.names
    run = fit(config, tmp_path / "run")
    assert "É" in Recognizer.from_checkpoint(run.folder / "best_model.pth").charset.characters
    assert len(pd.read_csv(run.folder / "losses.csv")) == -(-95 // config.batch_size)
    with pytest.raises(FileNotFoundError, match="none.csv: no such table of corrections"):
        load_splits(tiny(corrections=str(tmp_path / "none.csv")))


def test_writing_a_table_again_keeps_its_decisions(tmp_path):
    path = tmp_path / "suspects.csv"
    save_suspects(
        table_of(
            ("train", "a", "A", "B", 9.0, "accept"),
            ("train", "b", "A", "C", 8.0, ""),
            ("train", "c", "A", "NA", 7.0, "refuse"),
        ),
        path,
    )
    again = save_suspects(table_of(("train", "b", "A", "D", 9.5, ""), ("train", "a", "A", "X", 3.0, "")), path)
    decided = read_decisions(path).set_index("FILENAME")
    assert decided["READING"].to_dict() == {"b": "D", "a": "B", "c": "NA"}
    assert decided["DECISION"].to_dict() == {"b": "", "a": "accept", "c": "refuse"}
    assert again["SUSPICION"].tolist() == [9.5, 3.0, 7.0]


def test_no_cell_of_the_table_is_a_formula_and_all_come_back(tmp_path):
    path = tmp_path / "suspects.csv"
    row = ("train", "=cmd|' /C calc'!A0.png", "@SUM(1)", "'+A(2)", 9.0, "accept")
    for _ in range(2):  # written again, a cell gets no second apostrophe
        save_suspects(table_of(row), path)
        assert ",'=cmd" in path.read_text("utf-8-sig") and ",'@SUM(" in path.read_text("utf-8-sig")
        assert read_decisions(path).loc[0, ["FILENAME", "IDENTITY", "READING"]].tolist() == list(row[1:4])


def test_a_decision_on_a_label_that_has_changed_is_forgotten(tmp_path):
    path = tmp_path / "suspects.csv"
    save_suspects(table_of(("train", "a", "A", "B", 9.0, "accept"), ("validation", "a", "A", "B", 8.0, "")), path)
    save_suspects(table_of(("train", "a", "C", "B", 9.0, "")), path)
    rows = read_decisions(path)[["SPLIT", "IDENTITY", "DECISION"]].to_numpy().tolist()
    assert rows == [["train", "C", ""], ["validation", "A", ""]]  # rows of the other split stay


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path, row = tmp_path / "suspects.csv", ("train", "a", "A", "B", 9.0, "accept")
    save_suspects(table_of(row), path)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", no_space)
    with pytest.raises(WriteError, match="suspects.csv: could not be written.*free space"):
        save_suspects(table_of(("train", "b", "A", "C", 8.0, "")), path)
    assert read_decisions(path)["FILENAME"].tolist() == ["a"] and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("separator, encoding", [(";", "utf-8-sig"), (",", "cp1252"), ("\t", "utf-16")])
def test_a_table_edited_in_a_spreadsheet_can_be_read(tmp_path, separator, encoding):
    path = tmp_path / "suspects.csv"
    save_suspects(table_of(("train", "a", "É, À", "Ç;D", np.inf, "")), path)
    assert path.read_bytes().startswith(codecs.BOM_UTF8 + b"SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.assign(DECISION=" Accept").to_csv(path, sep=separator, encoding=encoding, index=False)
    (row,) = read_decisions(path).to_dict("records")
    assert (row["IDENTITY"], row["READING"], row["DECISION"]) == ("É, À", "Ç;D", "accept")


def test_a_line_that_occurs_twice_is_rejected(tmp_path):
    table_of(("train", "a", "A", "B", 1, ""), ("train", "a", "A", "C", 1, "drop")).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(ValueError, match="row 3: a occurs here a second time"):
        read_decisions(tmp_path / "s.csv")


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
