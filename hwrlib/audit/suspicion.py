"""Which labels are wrong: where a model that never saw a line surely reads another text than its label says.

Suspicion is ln P(reading | image) - ln P(label | image), the log-odds of the reading against the label: 0 where both
are the same, large where the model is sure that the label is not what is written. A table of suspects goes to a CSV;
a person accepts or refuses each, here (:mod:`hwrlib.audit.review`) or in a spreadsheet, and training takes the accepted ones
(`corrections`). The idea is that of *confident learning* (Northcutt, Jiang and Chuang, 2021), with texts for classes.
"""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd

from hwrlib.charset import Charset
from hwrlib.checkpoint import epoch_path
from hwrlib.config import TrainConfig
from hwrlib.ctc import greedy_decode, text_log_probabilities
from hwrlib.data import LineDataset, eval_loader
from hwrlib.labels import read_decisions
from hwrlib.recognizer import Recognizer
from hwrlib.train import fit, normalisation_of

COLUMNS = ["SPLIT", "FILENAME", "IDENTITY", "READING", "SUSPICION", "DECISION"]


def judge(recognizer: Recognizer, dataset: LineDataset) -> pd.DataFrame:
    """How surely a model disagrees with every label of a split that it was not trained on.

    Args:
        recognizer: that never saw these labels.
        dataset: with the recogniser's normalisation.
    Returns:
        A row a line, the most suspect first, in the columns ``COLUMNS``. A label that the model cannot write, for its
        characters or its length, is infinitely suspect. A suspicion below 0: the best path spells the reading, but all
        paths together make the label more probable.
    """
    rows, charset = [], recognizer.charset
    for batch in eval_loader(dataset, charset):
        log_probs = recognizer.model.infer(batch.images.numpy(), batch.image_widths.numpy())
        lengths = batch.image_widths // recognizer.model.stride
        read = greedy_decode(log_probs, lengths)
        labels = [charset.encode(text, skip_missing=True) for text in batch.texts]
        pairs = zip(batch.names, batch.texts, map(charset.decode, read), text_log_probabilities(log_probs, lengths, read),
                    [-np.inf if charset.missing(text) else value for text, value
                     in zip(batch.texts, text_log_probabilities(log_probs, lengths, labels))])
        rows += [(dataset.split, name, label, reading, 0.0 if reading == label else of_reading - of_label, "")
                 for name, label, reading, of_reading, of_label in pairs]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(
        ["SUSPICION", "FILENAME"], ascending=[False, True], ignore_index=True)


def fold_sets(config: TrainConfig, *, folds: int, fold: int) -> tuple[LineDataset, LineDataset]:
    """The lines of the training split outside a fold, to train on, and those in it, to judge.

    A line's fold follows from the seed and its file's name, so it stays in it whatever becomes of other lines.

    Raises:
        ValueError: one of the two holds no line.
    """
    sets = [LineDataset(config.data, "train", normalisation_of(config)) for _ in range(2)]
    digests = [hashlib.sha1(f"{config.seed} {name}".encode()).digest() for name in sets[0].names]
    fold_of = np.array([int.from_bytes(digest[:4], "big") % folds for digest in digests])
    sets[0].keep(np.flatnonzero(fold_of != fold), "held out")
    sets[1].keep(np.flatnonzero(fold_of == fold), "in other folds")
    if not all(sets):
        raise ValueError(f"{config.data}: {len(fold_of)} lines are too few for {folds} folds; use fewer")
    return sets[0], sets[1]


def cross_validate(config: TrainConfig, folder: str | Path, *, folds: int = 3) -> pd.DataFrame:
    """Judge every line of the training split by a model that was trained on the other folds alone.

    Whatever could have told a judge of the labels is left aside: ``start_from``, ``extra_data``, ``corrections``, and the
    choice of an epoch by its CER on the labels to be judged; the last epoch's model judges.

    Args:
        config: of the trainings; each takes as long as one on ``1 - 1 / folds`` of the split.
        folder: for the runs, ``fold_0`` and so on; what was done in an earlier call is not done again.
        folds: parts; more of them mean better judges and a longer wait.
    Returns:
        As :func:`judge`.
    Raises:
        ValueError: fewer than two folds, or those in ``folder`` were trained otherwise or on other labels.
    """
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, not {folds}")
    plain = dataclasses.replace(config, start_from="", extra_data="", corrections="", patience=0)
    # The characters of all folds, so that one that stands only in the judged fold is not suspect for that.
    texts = LineDataset(plain.data, "train", normalisation_of(plain)).texts
    plain = dataclasses.replace(plain, characters=plain.characters or Charset.from_texts(texts).characters)
    tables = []
    for fold in range(folds):
        trained, held_out = fold_sets(plain, folds=folds, fold=fold)
        run = fit(plain, Path(folder) / f"fold_{fold}", resume=True, sets=(trained, held_out))
        tables.append(judge(Recognizer.from_checkpoint(epoch_path(run.folder, config.epochs)), held_out))
    return pd.concat(tables).sort_values(["SUSPICION", "FILENAME"], ascending=[False, True], ignore_index=True)


def save_suspects(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """Write suspects to a CSV, aside and then renamed.

    A decision in the file is kept, unless the table has a new one or the label has changed since; so are the file's rows
    of other splits and all decided ones.

    Args:
        table: in the columns ``COLUMNS``.
        path: of the CSV; UTF-8 with a mark at its beginning, by which spreadsheets know it.
    Returns:
        All that was written.
    Raises:
        ValueError: the file holds decisions of another kind (see :func:`hwrlib.labels.read_decisions`).
    """
    path, table = Path(path), table.reset_index(drop=True)
    known = read_decisions(path).to_dict("records") if path.is_file() else []
    theirs = {(row["SPLIT"], row["FILENAME"], row["IDENTITY"]): row for row in known}
    for place, key in enumerate(zip(table["SPLIT"], table["FILENAME"], table["IDENTITY"])):
        row = theirs.pop(key, None)
        if row and row["DECISION"] and not table.loc[place, "DECISION"]:
            table.loc[place, ["READING", "DECISION"]] = row["READING"], row["DECISION"]
    lines = set(zip(table["SPLIT"], table["FILENAME"]))
    others = [row for (split, name, _), row in theirs.items() if (split, name) not in lines
              and (row["DECISION"] or split not in set(table["SPLIT"]))]
    table = pd.concat([table, pd.DataFrame(others)], ignore_index=True)[COLUMNS]
    table["SUSPICION"] = pd.to_numeric(table["SUSPICION"], errors="coerce")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".partial")
    table.to_csv(aside, index=False, float_format="%.2f", encoding="utf-8-sig")
    os.replace(aside, path)
    return table
