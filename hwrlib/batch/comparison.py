"""Compare runs: a table of their knobs and results, and two runs line by line."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from hwrlib.metrics import is_special
from hwrlib.runs.config import TrainConfig

ROUNDS = 2_000  # of the bootstrap
HIDDEN = {"workers", "checkpoint_minutes", "checkpoints_kept"}  # knobs that change no result


def find_runs(folder: str | Path) -> list[Path]:
    """The folders with a training in them, at any depth, sorted by name."""
    return sorted(path.parent for path in Path(folder).rglob("history.csv") if (path.parent / "config.json").is_file())


def compare(folder: str | Path) -> pd.DataFrame:
    """Every run below a folder, the best first.

    Args:
        folder: of runs, `runs` or that of a sweep.
    Returns:
        One row per run: `run` (its path below the folder), the knobs that differ between the runs, `epochs_done`,
        `validation_cer` (the best), `seconds` of training, `megabytes` of the model, and, from notebook 03's `metrics.json`,
        `cer`, `cer_low`, `cer_high`, `wer`, `exact`, `lines`: NaN for a run that was not evaluated. Fractions, not per cent.
    """
    folder = Path(folder)
    runs = [(path, *_records(path)) for path in find_runs(folder)]
    configs = [config for _, config, _, _ in runs]
    knobs = [
        name
        for name in TrainConfig.names()
        if name not in HIDDEN and len({repr(config.get(name, getattr(TrainConfig, name))) for config in configs}) > 1
    ]
    rows = []
    for path, config, history, metrics in runs:
        low, high = metrics.get("cer_interval", (np.nan, np.nan))
        model = path / "best_model.pth"
        rows.append(
            {
                "run": path.relative_to(folder).as_posix(),
                **{name: config.get(name, getattr(TrainConfig, name)) for name in knobs},
                "epochs_done": len(history),
                "validation_cer": history["validation_cer"].min(),
                "cer": metrics.get("cer", np.nan),
                "cer_low": low,
                "cer_high": high,
                "wer": metrics.get("wer", np.nan),
                "exact": metrics.get("exact", np.nan),
                "lines": metrics.get("lines", np.nan),
                "seconds": history["seconds"].sum(),
                "megabytes": round(model.stat().st_size / 1e6, 2) if model.is_file() else np.nan,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(["cer", "validation_cer"], ignore_index=True) if rows else table


def curves(folder: str | Path) -> pd.DataFrame:
    """The history of every run below a folder, one below the other, with the column `run`."""
    parts = [_history(path).assign(run=path.relative_to(folder).as_posix()) for path in find_runs(folder)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", "epoch", "validation_cer"])


def effects(table: pd.DataFrame, knobs: list[str], *, measure: str = "cer", seed: str = "seed") -> pd.DataFrame:
    """How much each knob changes the result, beside how much the seed does.

    For two values of a knob, runs are paired that are equal in all other knobs, the seed included; the difference of each
    pair is an observation.

    Args:
        table: as from `compare`.
        knobs: columns to look at, `seed` among them or not.
        measure: the column to explain.
        seed: the knob whose effect is chance.
    Returns:
        Columns `knob`, `from`, `to`, `difference` (mean over the pairs), `spread` (its standard error; NaN for one pair),
        `pairs`, and `noise`: the standard deviation between runs that differ in the seed alone (NaN if none do).
    """
    others = [name for name in knobs if name != seed]
    groups = table.groupby(others, dropna=False)[measure] if others else [((), table[measure])]
    variances = [values.var() for _, values in groups if values.notna().sum() > 1]
    noise = float(np.sqrt(np.mean(variances))) if variances else np.nan
    rows = []
    for knob in others:
        rest = [name for name in knobs if name != knob]
        values = sorted(table[knob].unique(), key=lambda value: (str(type(value)), value))
        for before, after in zip(values, values[1:]):
            left, right = (table[table[knob] == value].set_index(rest)[measure] for value in (before, after))
            differences = (right - left).dropna() if rest else pd.Series(right.to_numpy() - left.to_numpy())
            count = len(differences)
            spread = differences.std() / np.sqrt(count) if count > 1 else np.nan
            rows.append((knob, before, after, differences.mean(), spread, count, noise))
    return pd.DataFrame(rows, columns=["knob", "from", "to", "difference", "spread", "pairs", "noise"])


def frontier(table: pd.DataFrame, *, cost: str = "seconds", measure: str = "cer") -> pd.DataFrame:
    """The runs that no other run beats in both cost and measure, the cheapest first."""
    table = table.dropna(subset=[cost, measure]).sort_values([cost, measure], ignore_index=True)
    return table[table[measure] < table[measure].shift(fill_value=np.inf).cummin()].reset_index(drop=True)


class Pair(NamedTuple):
    """Two runs on the same lines."""

    difference: float  # CER of the second minus that of the first
    low: float
    high: float  # of a 95 % interval by a paired bootstrap over lines
    lines: pd.DataFrame  # where they differ: filename, truth, first, second, errors_first, errors_second


def compare_lines(first: str | Path, second: str | Path, *, seed: int = 0) -> Pair:
    """Compare two runs on the lines that both were evaluated on.

    The lines are drawn with replacement, the same ones for both runs: what makes a line hard for both cancels out, so the
    interval is narrower than those of the two CERs.

    Args:
        first, second: folders with a `predictions.csv` of notebook 03.
        seed: of the bootstrap.
    Raises:
        FileNotFoundError: a run was not evaluated.
        ValueError: they have no line in common, or other truths.
    """
    left, right = _predictions(first), _predictions(second)
    both = left.merge(right, on="filename", suffixes=("_first", "_second"))
    if not len(both):
        raise ValueError(f"{first} and {second} have no line in common; evaluate both on the same split")
    if (both["truth_first"] != both["truth_second"]).any():
        raise ValueError(f"{first} and {second} were evaluated with other labels; run notebook 03 on both again")
    lines = pd.DataFrame(
        {
            "filename": both["filename"],
            "truth": both["truth_first"],
            "first": both["prediction_first"],
            "second": both["prediction_second"],
        }
    )
    lines = lines[~lines["truth"].map(is_special).astype(bool)].reset_index(drop=True)
    for name in ("first", "second"):
        lines[f"errors_{name}"] = [Levenshtein.distance(*pair) for pair in zip(lines["truth"], lines[name])]
    more = (lines["errors_second"] - lines["errors_first"]).to_numpy()
    length = lines["truth"].str.len().to_numpy()
    drawn = np.random.default_rng(seed).integers(len(lines), size=(ROUNDS, len(lines)))
    low, high = np.quantile(more[drawn].sum(1) / length[drawn].sum(1), (0.025, 0.975))
    different = lines[lines["first"] != lines["second"]]
    order = (different["errors_second"] - different["errors_first"]).sort_values(kind="stable").index
    return Pair(float(more.sum() / length.sum()), float(low), float(high), different.loc[order].reset_index(drop=True))


def _records(path: Path) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    """The configuration, the history and the metrics of a run."""
    metrics = path / "metrics.json"
    return (
        json.loads((path / "config.json").read_text("utf-8")),
        _history(path),
        json.loads(metrics.read_text("utf-8")) if metrics.is_file() else {},
    )


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path / "history.csv")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path / 'history.csv'}: not a history of a training ({error}); remove the run") from None


def _predictions(run: str | Path) -> pd.DataFrame:
    path = Path(run) / "predictions.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this run was not evaluated; run notebook 03 with checkpoint={run}")
    return pd.read_csv(path, dtype=str, keep_default_na=False)
