"""hwrlib.runs.training_data: which lines a training takes."""

import pandas as pd
import pytest

from hwrlib.audit import save_suspects
from hwrlib.charset import Charset
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.fit import fit
from hwrlib.runs.training_data import load_splits, skip_untrainable
from hwrlib.sets.dataset import LineDataset
from tests.audit.examples import table_of

CHARSET = Charset("AELNOZ")


def test_labels_too_long_for_their_images_are_skipped(tmp_path, write_split, tiny, caplog):
    write_split(tmp_path, "train", ["LEA"] * 30)
    table = tmp_path / "train.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("TRAIN_007.png,LEA", "TRAIN_007.png," + "LEA" * 30))
    config = tiny(data=str(tmp_path))
    dataset = LineDataset(tmp_path, "train", config.normalisation)
    skip_untrainable(dataset, CHARSET, 4)
    assert len(dataset) == 29 and [skipped.name for skipped in dataset.skipped] == ["TRAIN_007.png"]
    assert "TRAIN_007.png" in caplog.text
    dataset.texts = ["LEA" * 30] * 2 + dataset.texts[2:]
    with pytest.raises(ValueError, match="train: 2 of 29 labels cannot be trained on.*TRAIN_000.png: . frames < 90 needed"):
        skip_untrainable(dataset, CHARSET, 4)


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
