"""hwrlib.batch.comparison: tables, effects, frontiers, and two runs on the same lines."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwrlib.batch import compare, compare_lines, curves, effects, frontier


@pytest.fixture
def made(tmp_path):
    """Runs whose results are known: the CER is 0.10, less 0.02 for `augment`, plus 0.002 for each seed; its folder."""
    for augment in (0.0, 0.5):
        for hidden in (32, 64):
            for seed in (0, 1):
                folder = tmp_path / f"runs/{augment}/{hidden}-{seed}"
                folder.mkdir(parents=True)
                cer = 0.10 - 0.04 * augment + 0.002 * seed
                (folder / "config.json").write_text(json.dumps({"augment": augment, "hidden": hidden, "seed": seed}))
                (folder / "history.csv").write_text(f"epoch,validation_cer,seconds\n1,0.5,{hidden}\n2,{cer},{hidden}\n")
                (folder / "best_model.pth").write_bytes(b"0" * hidden * 1000)
                metrics = {"cer": cer, "cer_interval": [cer - 0.01, cer + 0.01], "wer": 0.3, "exact": 0.8, "lines": 100}
                (folder / "metrics.json").write_text(json.dumps(metrics))
    return tmp_path / "runs"


def test_the_table_has_what_differs_and_the_best_first(made):
    table = compare(made)
    assert [name for name in table if name in ("augment", "hidden", "seed", "epochs")] == ["hidden", "augment", "seed"]
    assert table.loc[0, ["augment", "seed", "cer", "cer_low", "epochs_done"]].tolist() == [0.5, 0, 0.08, 0.07, 2]
    assert set(table["seconds"]) == {64, 128} and set(table["megabytes"]) == {0.03, 0.06}
    (made / "0.0/32-0/metrics.json").unlink()
    assert compare(made)["run"].iloc[-1] == "0.0/32-0" and np.isnan(compare(made)["cer"].iloc[-1])
    assert len(curves(made)) == 16 and compare(made / "nothing").empty


def test_effects_are_told_from_chance(made):
    table = effects(compare(made), ["augment", "hidden", "seed"]).set_index("knob")
    assert table.loc["augment", "difference"] == pytest.approx(-0.02) and table.loc["augment", "pairs"] == 4
    assert table.loc["hidden", "difference"] == pytest.approx(0) and table.loc["hidden", "spread"] == pytest.approx(0)
    assert table.loc["hidden", "noise"] == pytest.approx(np.std([0, 0.002], ddof=1))


def test_the_frontier_is_what_nothing_beats(made):
    assert frontier(compare(made))["run"].tolist() == ["0.5/32-0"]
    table = pd.DataFrame({"seconds": [1, 2, 3, 4], "cer": [0.3, 0.4, 0.2, 0.2]})
    assert frontier(table)["seconds"].tolist() == [1, 3]


def predictions(folder: Path, readings: list[str]) -> Path:
    folder.mkdir()
    truths = ["ANNE", "PAUL", "", "NULL"] * 25
    rows = [(f"{i}.png", truth, reading) for i, (truth, reading) in enumerate(zip(truths, readings * 25))]
    pd.DataFrame(rows, columns=["filename", "truth", "prediction"]).to_csv(folder / "predictions.csv", index=False)
    return folder


def test_two_runs_are_compared_on_the_same_lines(tmp_path):
    first = predictions(tmp_path / "a", ["ANNA", "PAUL", "X", "NULL"])
    second = predictions(tmp_path / "b", ["ANNE", "PAUL", "Y", "NUL"])
    pair = compare_lines(first, second)
    assert pair.difference == 0 and pair.low < 0 < pair.high  # one letter better, one worse
    assert len(pair.lines) == 50 and pair.lines.loc[0, ["first", "second"]].tolist() == ["ANNA", "ANNE"]
    better = compare_lines(first, predictions(tmp_path / "c", ["ANNE", "PAUL", "", "NULL"]))
    assert better.difference == pytest.approx(-1 / 12) and better.high < 0
    with pytest.raises(FileNotFoundError, match="was not evaluated"):
        compare_lines(first, tmp_path)
