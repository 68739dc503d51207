"""Time to accuracy: seconds of training until the validation CER reaches a target."""

from pathlib import Path
from typing import Any

from benchmarks.calamari import Calamari
from benchmarks.plain import PlainTraining
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit

TARGETS = (0.10, 0.05, 0.04)  # validation CER


def time_to_accuracy(data: str | Path, recipes: list[str], work: Path, calamari: Calamari | None = None) -> dict[str, Any]:
    """Train with each recipe, and with the plain loop and Calamari for as long as the longest recipe took.

    Args:
        data: a data set.
        recipes: YAML files, each trained to its end, where its learning rate falls to zero.
        work: a folder for the runs.
        calamari: Calamari OCR to compare with, if any.
    Returns:
        For each training its curve, pairs of (seconds of training, validation CER); for each target the fewest seconds.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for recipe in recipes:
        config = TrainConfig.from_yaml(recipe, data=str(data))
        history = fit(config, work / Path(recipe).stem).history
        curves[Path(recipe).stem] = list(zip(history["seconds"].cumsum(), history["validation_cer"]))
    ours = [point for curve in curves.values() for point in curve]
    others = {"plain loop": PlainTraining(data), **({"Calamari": calamari} if calamari else {})}
    for name, other in others.items():
        seconds = other.train_for(max(seconds for seconds, _ in ours))
        curves[name] = [(seconds, other.validation_cer())]
    ways = {"hwrlib": ours, **{name: curves[name] for name in others}}
    return {
        "curves": curves,
        "seconds to validation CER": {
            f"{target:.0%}": {name: _first(target, points) for name, points in ways.items()} for target in TARGETS
        },
    }


def _first(target: float, points: list[tuple[float, float]]) -> float | None:
    return min((seconds for seconds, cer in points if cer <= target), default=None)
