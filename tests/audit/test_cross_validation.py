"""hwrlib.audit.cross_validation: every line is judged by a model that never saw it."""

import json

import pytest

from hwrlib.audit import cross_validate, fold_sets
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.training_data import load_splits


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
