"""The lines a run trains on: split, corrected, limited, joined, and without labels that CTC cannot learn."""

import hashlib
import reprlib

import numpy as np

from hwrlib.charset import Charset
from hwrlib.common.progress import logger
from hwrlib.ctc import frames_needed
from hwrlib.model import ARCHITECTURES
from hwrlib.runs.config import TrainConfig
from hwrlib.sets.corrections import apply_decisions, read_decisions
from hwrlib.sets.dataset import JoinedLines, LineDataset, check_split

MAX_UNTRAINABLE = 0.05  # fraction of the training labels that may be unusable


def check_files(config: TrainConfig, *, with_data: bool = True) -> None:
    """Check that every file a training will read is there, so that a missing one does not end it minutes or hours later.

    Args:
        config: of the run.
        with_data: check the splits of `config.data`, too.
    Raises:
        FileNotFoundError: one is missing.
        ValueError: `corrections` is not a table of decisions.
    """
    for split in ("train", "validation") if with_data else ():
        check_split(config.data, split)
    for folder in config.extra_folders:
        check_split(folder, "train")
    if config.corrections:
        read_decisions(config.corrections)


def training_data(
    config: TrainConfig, sets: tuple[LineDataset, LineDataset] | None = None
) -> tuple[JoinedLines, LineDataset, Charset]:
    """The lines to train on, those to validate on, and the charset.

    Args:
        config: of the run.
        sets: the two data sets; by default the splits of `config.data`.
    Raises:
        FileNotFoundError: a table or a folder is missing.
        ValueError: corrections do not fit the data set, or too many labels cannot be trained on.
    """
    train_set, validation_set = sets or load_splits(config)
    if config.train_limit and config.train_limit < len(train_set):
        chosen = np.random.default_rng(config.seed).permutation(len(train_set))[: config.train_limit]
        train_set.select(np.sort(chosen), "beyond train_limit")
    extra = [LineDataset(folder, "train", config.normalisation) for folder in config.extra_folders]
    parts = [train_set, *extra]
    charset = (
        Charset(config.characters) if config.characters else Charset.from_texts(t for part in parts for t in part.texts)
    )
    _, stride = ARCHITECTURES[config.model]
    for part in parts:
        skip_untrainable(part, charset, stride)
    return JoinedLines(parts), validation_set, charset


def load_splits(config: TrainConfig) -> tuple[LineDataset, LineDataset]:
    """The training and the validation split, corrected if the configuration says so.

    Raises:
        ValueError: `corrections` do not fit the data set, or leave no line.
    """
    splits = [LineDataset(config.data, name, config.normalisation) for name in ("train", "validation")]
    for split in splits if config.corrections else []:
        apply_decisions(split, config.corrections)
    return splits[0], splits[1]


def skip_untrainable(dataset: LineDataset, charset: Charset, stride: int) -> None:
    """Exclude lines whose label needs more frames than their image has, or characters that the charset lacks.

    Args:
        dataset: changed.
        charset: of the model.
        stride: of the model, px of image width per frame.
    Raises:
        ValueError: they are more than 5 % of the split; the message names the first three.
    """
    frames = (np.asarray(dataset.widths) // stride).tolist()
    faults = [label_fault(text, count, charset) for text, count in zip(dataset.texts, frames)]
    bad = [i for i, fault in enumerate(faults) if fault]
    if not bad:
        return
    found = (
        f"{dataset.folder / dataset.split}: {len(bad)} of {len(dataset)} labels cannot be trained on: "
        + "; ".join(f"{dataset.names[i]}: {faults[i]}" for i in bad[:3])
        + (", ..." if len(bad) > 3 else "")
    )
    if len(bad) > MAX_UNTRAINABLE * len(dataset):
        raise ValueError(f"{found}. Widen the images (max_width), add to `characters`, or correct the labels")
    dataset.select(np.setdiff1d(np.arange(len(dataset)), bad), "label cannot be trained on")
    logger.warning("%s. They are skipped.", found)


def digest(*parts: LineDataset) -> str:
    """What identifies these lines, their ink and their labels, so that a resumed run can tell whether they have changed."""
    content = [(part.names, part.texts, part.ink_digest) for part in parts]
    return hashlib.sha1(repr(content).encode()).hexdigest()


def label_fault(text: str, frames: int, charset: Charset) -> str | None:
    """Why a label cannot be trained on with an image of so many frames; None if it can."""
    if missing := charset.missing(text):
        return f"{reprlib.repr(text)} has characters outside the charset: {missing}"
    if (needed := frames_needed(charset.encode(text))) > frames:
        return f"{frames} frames < {needed} needed for {reprlib.repr(text)}"
    return None
