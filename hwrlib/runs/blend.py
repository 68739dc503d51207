"""Blend a trained model with the weights that its training started from, which often reads other hands better than either.

    python -m hwrlib.runs.blend runs/mine              # tries several shares on the validation split
    python -m hwrlib.runs.blend runs/mine --keep 0.3

A training that goes on from another model (`start_from`) learns its own lines and forgets a little of what the other knew.
Both models lie in one valley of the loss, so weights between the two read as well, and make other errors than its ends.

Source: Wortsman et al., *Robust fine-tuning of zero-shot models* (2022).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hwrlib.collate import eval_loader
from hwrlib.models.checkpoint import load_model, save_model
from hwrlib.models.locate import BEST, find_checkpoint
from hwrlib.models.precision import resolve_precision
from hwrlib.models.recognizer import LANGUAGE_SUFFIX
from hwrlib.models.transfer import load_initial, start_from
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.state import build_model
from hwrlib.runs.training_data import load_splits
from hwrlib.train import evaluate

BLENDED = "blended_model.pth"
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # that are tried


def blend(run: str | Path, keep: float | None = None) -> tuple[Path, dict[float, float]]:
    """Write the blended model of a run into its folder.

    Args:
        run: a run's folder, whose best model is used. What its `start_from` named must still be there, unchanged.
        keep: the fraction of the initial weights, 0 (the trained model) ... 1 (the initial one); by default the one of
            `SHARES` with the lowest CER on the run's validation split.
    Returns:
        The path of the model, `blended_model.pth`, and the validation CER of every share that was tried.
    Raises:
        FileNotFoundError: there is no such run, or its initial weights or its data are gone.
        ValueError: the training began with random weights, or `keep` is not from 0 to 1.
    """
    if keep is not None and not 0 <= keep <= 1:
        raise ValueError(f"keep must be a number from 0 to 1, not {keep!r}")
    best = find_checkpoint(Path(run) / BEST)
    model, charset, normalisation, record = load_model(best)
    config = TrainConfig.from_record(record["config"])
    if not config.start_from:
        raise ValueError(f"{best}: its training began with random weights (no `start_from`), so there is nothing to keep")
    initial = build_model(config, len(charset))
    start_from(load_initial(config.start_from), initial, charset)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, before, after = model.to(device), initial.to(device).state_dict(), _copy(model.to(device).state_dict())
    model.precision = resolve_precision(config.precision, device)
    loader = eval_loader(load_splits(config)[1], charset)
    found = {}
    for share in SHARES if keep is None else (keep,):
        model.load_state_dict(_between(after, before, share))
        found[share] = evaluate(model, loader, charset)
    keep = min(found, key=lambda share: found[share].scores.cer)
    model.load_state_dict(_between(after, before, keep))
    loss, scores = found[keep].loss, found[keep].scores
    validation = {"validation_loss": loss, "validation_cer": scores.cer, "validation_exact": scores.exact}
    metrics = {**record["metrics"], **validation, "keep": keep}
    path = best.with_name(BLENDED)
    path.with_suffix(LANGUAGE_SUFFIX).unlink(missing_ok=True)  # of an earlier blend
    save_model(
        path, model=model.cpu(), charset=charset, normalisation=normalisation, config=record["config"], metrics=metrics
    )
    return path, {share: evaluation.scores.cer for share, evaluation in found.items()}


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in weights.items()}


def _between(first: dict[str, Tensor], second: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the straight line from the first (0) to the second (1); what is counted stays the first's."""
    return {name: value.lerp(second[name], share) if value.is_floating_point() else value for name, value in first.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.runs.blend", description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the folder of a run whose recipe has `start_from`")
    parser.add_argument("--keep", type=float, help="fraction of the initial weights, 0 to 1; by default the best of several")
    options = parser.parse_args(arguments)
    try:
        path, tried = blend(options.run, options.keep)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for share, cer in tried.items():
        print(f"keep {share:.2f}: validation CER {cer:.2%}")
    print(f"{path}: written; its language model: python -m hwrlib.runs.language {path} --data DATA")
    return 0


if __name__ == "__main__":
    sys.exit(main())
