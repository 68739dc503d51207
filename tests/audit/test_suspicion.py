"""hwrlib.audit.suspicion: which labels a model doubts, and by how much."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hwrlib.audit import SUSPECT_COLUMNS, judge


def test_swapped_labels_are_the_first_suspects(recognizer, dataset):
    dataset.texts[3], dataset.texts[9] = "LEO", "LA"
    table = judge(recognizer, dataset)
    assert list(table.columns) == SUSPECT_COLUMNS and len(table) == len(dataset)
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
