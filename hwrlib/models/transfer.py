"""Weights of one model as the start of another, which may know other characters and be wider or deeper."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hwrlib.charset import BLANK, Charset
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import load_model
from hwrlib.models.locate import find_checkpoint

CLASS_LAYERS = ("classifier.", "shortcut.")  # layers whose weights have a row for each class


class Initial(NamedTuple):
    """A trained model from which another training starts."""

    path: Path
    model: CRNN
    charset: Charset


def load_initial(source: str | Path) -> Initial:
    """The model to start from, on the CPU; `source` is what `find_checkpoint` accepts.

    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or it is damaged.
    """
    path = find_checkpoint(source)
    model, charset, _, _ = load_model(path)
    return Initial(path, model, charset)


def start_from(initial: Initial, model: CRNN, charset: Charset) -> None:
    """Give a fresh model the weights of a trained one.

    Args:
        initial: the trained model.
        model: the fresh one, which is changed. Characters that the trained one does not know keep their random weights. Its
            LSTM may be wider (`hidden`) and its stages deeper (`depth`): outgoing weights of new units are initialised to 0
            and new blocks to the identity, so that both models read the same at first.
        charset: of `model`.
    Raises:
        ValueError: the layers have other sizes.
    """
    path, other, other_charset = initial
    theirs, ours = (
        {key: value for key, value in each.arguments.items() if key not in ("num_classes", "dropout")}
        for each in (other, model)
    )
    grown = {key: 0 for key in ("hidden", "depth") if theirs.get(key, 0) <= ours.get(key, 0)}
    if theirs | grown != ours | grown:
        raise ValueError(
            f"start_from: the model of {path} has {theirs}, this training {ours}; make them equal "
            "(`hidden` and `depth` may be larger)"
        )
    shared = [c for c in charset.characters if not other_charset.missing(c)]
    rows, other_rows = ([BLANK, *known.encode("".join(shared))] for known in (charset, other_charset))
    trained, weights = other.state_dict(), {}
    for name, fresh in model.state_dict().items():
        weights[name] = _grown(name, trained[name], fresh) if name in trained else fresh  # a new block stays the identity
        if name.startswith(CLASS_LAYERS):
            weights[name] = fresh.index_copy(0, torch.tensor(rows), weights[name][other_rows])
    model.load_state_dict(weights)


def _grown(name: str, trained: Tensor, fresh: Tensor) -> Tensor:
    """The trained weights of a layer, in the shape of those of a layer that may have more units."""
    if name.startswith("rnn.") and fresh.shape != trained.shape:
        return _widened(trained, fresh, row_blocks=4, column_blocks=1 if "weight_hh" in name else 2)
    if name == "classifier.weight" and fresh.shape[1] != trained.shape[1]:
        return _widened(trained, torch.zeros(len(trained), fresh.shape[1]), row_blocks=1, column_blocks=2)
    return trained


def _widened(smaller: Tensor, larger: Tensor, row_blocks: int, column_blocks: int) -> Tensor:
    """Copy the weights of an LSTM into one with more units, which stay random; weights from new to old units are 0.

    Args:
        smaller: (rows, ...), a block of rows for each gate and a block of columns for each direction.
        larger: (rows, ...), those of the larger one.
        row_blocks, column_blocks: numbers of these blocks.
    """

    def places(axis: int, blocks: int) -> Tensor:
        """Where the smaller one's rows or columns stand in the larger one: at the beginning of each block."""
        old, new = smaller.shape[axis] // blocks, larger.shape[axis] // blocks
        return (torch.arange(blocks)[:, None] * new + torch.arange(old)).flatten()

    widened, rows = larger.clone(), places(0, row_blocks)
    if smaller.ndim == 1:
        widened[rows] = smaller
    else:
        widened[rows] = 0
        widened[rows[:, None], places(1, column_blocks)] = smaller
    return widened
