"""Cross-validation: judge every label of the training split by a model that was not trained on it."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from hwrlib.audit.suspicion import by_suspicion, judge
from hwrlib.charset import Charset
from hwrlib.models.locate import epoch_path
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset


def fold_sets(config: TrainConfig, *, folds: int, fold: int) -> tuple[LineDataset, LineDataset]:
    """The lines of the training split outside a fold, to train on, and those in the fold, to judge.

    The seed and the name of a line's file decide its fold, so a line stays in its fold when other lines come or go.

    Raises:
        ValueError: one of the two has no lines.
    """
    trained, held_out = (LineDataset(config.data, "train", config.normalisation) for _ in range(2))
    digests = [hashlib.sha1(f"{config.seed} {name}".encode()).digest() for name in trained.names]
    fold_of = np.array([int.from_bytes(digest[:4], "big") % folds for digest in digests])
    trained.select(np.flatnonzero(fold_of != fold), "held out")
    held_out.select(np.flatnonzero(fold_of == fold), "in other folds")
    if not (len(trained) and len(held_out)):
        raise ValueError(f"{config.data}: {len(fold_of)} lines are too few for {folds} folds; use fewer")
    return trained, held_out


def cross_validate(config: TrainConfig, folder: str | Path, *, folds: int = 3) -> pd.DataFrame:
    """Judge every label of the training split by a model that was trained on the other folds only.

    Nothing may tell a judge about the labels it will judge: `start_from`, `extra_data` and `corrections` are ignored, and
    the last epoch's model judges, not the one with the lowest CER on those labels.

    Args:
        config: of the trainings; each takes as long as a training on `1 - 1 / folds` of the split.
        folder: of the runs, `fold_0` and so on; trainings that an earlier call finished there are not repeated.
        folds: number of parts; with more, the judges are better and the wait is longer.
    Returns:
        A table as `judge` returns it.
    Raises:
        ValueError: there are fewer than two folds, or those in `folder` were trained differently or on other labels.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {folds}")
    config = dataclasses.replace(config, start_from="", extra_data="", corrections="", patience=0, language_order=0)
    # The charset of all folds: a character that occurs only in the judged fold does not make its label suspect.
    texts = LineDataset(config.data, "train", config.normalisation).texts
    config = dataclasses.replace(config, characters=config.characters or Charset.from_texts(texts).characters)
    tables = []
    for fold in range(folds):
        trained, held_out = fold_sets(config, folds=folds, fold=fold)
        run = fit(config, Path(folder) / f"fold_{fold}", resume=True, sets=(trained, held_out))
        tables.append(judge(Recognizer.from_checkpoint(epoch_path(run.folder, config.epochs)), held_out))
    return by_suspicion(pd.concat(tables))
