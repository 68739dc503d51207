"""Weights of one model as the start of another, which may know other characters and be wider or deeper."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hwrlib.charset import BLANK, Charset
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import load_model
from hwrlib.models.locate import find_checkpoint

CLASS_LAYERS = ("classifier.", "shortcut.")  # layers whose weights have a row for each class


def start_from(source: str | Path, model: CRNN, charset: Charset) -> None:
    """Give a fresh model the weights of another one, to continue training from there.

    Args:
        source: as `find_checkpoint` accepts it.
        model: to be changed. Characters that the other does not know keep their random weights. Its LSTM may be wider
            (`hidden`) and its stages deeper (`depth`): at first nothing listens to the new units, and the new blocks
            change nothing, so that it reads as the other does.
        charset: of `model`.
    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or its layers have other sizes.
    """
    path = find_checkpoint(source)
    other, other_charset, _, _ = load_model(path)
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
    weights = other.state_dict()
    for name, value in model.state_dict().items():
        if name not in weights:  # of a new block at the end of a stage, which changes nothing at first
            weights[name] = value
        elif name.startswith("rnn.") and value.shape != weights[name].shape:
            weights[name] = _widened(weights[name], value, row_blocks=4, column_blocks=1 if "weight_hh" in name else 2)
        elif name == "classifier.weight" and value.shape[1] != weights[name].shape[1]:
            weights[name] = _widened(weights[name], torch.zeros(len(weights[name]), value.shape[1]), 1, 2)
        if name.startswith(CLASS_LAYERS):
            value = value.clone()
            value[rows] = weights[name][other_rows]
            weights[name] = value
    model.load_state_dict(weights)


def _widened(smaller: Tensor, larger: Tensor, row_blocks: int, column_blocks: int) -> Tensor:
    """Weights of an LSTM among those of one with more units, whose own weights stay random, and whom the old ones ignore.

    Args:
        smaller: (rows, ...), a block of rows for each gate and a block of columns for each direction.
        larger: its random weights.
        row_blocks, column_blocks: how many of them.
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
