"""Suspicion: how surely a model that never saw a line reads another text in it than its label says.

Suspicion is ln P(reading | image) - ln P(label | image), the log-odds of the reading against the label: 0 if the two are
equal, large if the model is sure that the label is not what is written. The idea is that of *confident learning*
(Northcutt, Jiang and Chuang, 2021), with texts in place of classes.
"""

import numpy as np
import pandas as pd

from hwrlib.collate import Batch, eval_loader
from hwrlib.ctc import greedy_decode, text_log_probabilities
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import frames_of
from hwrlib.sets.dataset import LineDataset

SUSPECT_COLUMNS = ["SPLIT", "FILENAME", "IDENTITY", "READING", "SUSPICION", "DECISION"]


def judge(recognizer: Recognizer, dataset: LineDataset) -> pd.DataFrame:
    """Rank the labels of a split by suspicion.

    Args:
        recognizer: a model that was not trained on these labels.
        dataset: the split, with the recogniser's normalisation.
    Returns:
        One row per line, the most suspect first, in the columns `SUSPECT_COLUMNS`. A label that the model cannot write,
        because of its characters or its length, is infinitely suspect. Suspicion is negative if the reading has the best
        path, but all paths together make the label more probable.
    """
    rows = []
    for batch in eval_loader(dataset, recognizer.charset):
        judged = zip(batch.names, batch.texts, *_read_and_suspect(recognizer, batch))
        rows += [(dataset.split, name, label, reading, suspicion, "") for name, label, reading, suspicion in judged]
    return by_suspicion(pd.DataFrame(rows, columns=SUSPECT_COLUMNS))


def by_suspicion(table: pd.DataFrame) -> pd.DataFrame:
    """Sort a table of suspects: the most suspect first, equally suspect ones by file name."""
    return table.sort_values(["SUSPICION", "FILENAME"], ascending=[False, True], ignore_index=True)


def _read_and_suspect(recognizer: Recognizer, batch: Batch) -> tuple[list[str], list[float]]:
    """The reading of each line, and the suspicion of its label."""
    charset = recognizer.charset
    log_probs, input_lengths = frames_of(recognizer.model, batch.images.numpy(), batch.image_widths.numpy())
    decoded = greedy_decode(log_probs, input_lengths)
    readings = list(map(charset.decode, decoded))
    labels = [charset.encode(text, skip_missing=True) for text in batch.texts]
    of_reading = text_log_probabilities(log_probs, input_lengths, decoded)
    of_label = text_log_probabilities(log_probs, input_lengths, labels)
    of_label[[bool(charset.missing(text)) for text in batch.texts]] = -np.inf
    agree = [reading == text for reading, text in zip(readings, batch.texts)]
    return readings, np.where(agree, 0.0, of_reading - of_label).tolist()
