"""Time to accuracy: seconds of training until the validation CER falls to a mark."""

from pathlib import Path
from typing import Any

from benchmarks.calamari import Calamari
from benchmarks.plain import PlainTraining
from hwrlib.config import TrainConfig
from hwrlib.train import fit

MARKS = (0.10, 0.05, 0.04)    # validation CER


def time_to_accuracy(data: str, recipes: list[str], work: Path, calamari: Calamari | None = None) -> dict[str, Any]:
    """Train by each recipe, and by the plain loop and by Calamari for as long as the longest took.

    Args:
        data: a set.
        recipes: parameter files; each is made for its length, since the learning rate falls to zero at its end.
        work: a folder for the runs.
        calamari: Calamari OCR; left out by default.
    Returns:
        For each training its curve, pairs of (seconds of training, validation CER); for each mark the least seconds.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for recipe in recipes:
        config = TrainConfig.from_dict({**TrainConfig.from_yaml(recipe).as_dict(), "data": data})
        history = fit(config, work / Path(recipe).stem).history
        curves[Path(recipe).stem] = list(zip(history["seconds"].cumsum(), history["validation_cer"]))
    ours = [point for curve in curves.values() for point in curve]
    others = {"plain loop": PlainTraining(data), **({"Calamari": calamari} if calamari else {})}
    for name, other in others.items():
        seconds = other.train_for(max(seconds for seconds, _ in ours))
        curves[name] = [(seconds, other.validation_cer())]
    ways = {"hwrlib": ours, **{name: curves[name] for name in others}}
    return {"curves": curves, "seconds to validation CER": {
        f"{mark:.0%}": {name: _first(mark, points) for name, points in ways.items()} for mark in MARKS}}


def _first(mark: float, points: list[tuple[float, float]]) -> float | None:
    return min((seconds for seconds, cer in points if cer <= mark), default=None)
