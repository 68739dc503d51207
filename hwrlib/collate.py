"""Lines as one batch: images padded with paper, labels padded with blanks, and the true length of each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hwrlib.charset import BLANK, Charset
from hwrlib.images import pad


class Sample(NamedTuple):
    """One line of handwriting."""

    ink: np.ndarray  # (H, W) uint8, 0 is paper
    text: str  # the label
    name: str  # the image file's name, for messages


class Batch(NamedTuple):
    """Lines padded to a common width: N samples, the longest label has S characters."""

    images: Tensor  # (N, 1, H, W) uint8 ink, 0 is paper and padding
    image_widths: Tensor  # (N,) int64, px that are not padding
    targets: Tensor  # (N, S) int64 class indices, padded with the blank
    target_lengths: Tensor  # (N,) int64
    texts: tuple[str, ...]  # the labels as text
    names: tuple[str, ...]  # the image files

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on a device."""
        return Batch(*(part.to(device) if isinstance(part, Tensor) else part for part in self))


def ctc_collate(samples: Sequence[Sample], *, charset: Charset) -> Batch:
    """Pad images with paper to the width of the widest, labels with blanks to the length of the longest.

    Args:
        samples: N lines of one height; widths differ.
        charset: classes of the characters; characters outside it are missing in `targets` (never in `texts`).
    Returns:
        A batch whose W is the widest image's, rounded up to a multiple of 32 px.
    Raises:
        ValueError: the heights differ.
    """
    images, image_widths = pad([sample.ink for sample in samples])  # (N, 1, H, W), (N,)
    encoded = [charset.encode(sample.text, skip_missing=True) for sample in samples]
    targets = torch.full((len(samples), max(map(len, encoded))), BLANK)  # (N, S)
    for row, classes in zip(targets, encoded):
        row[: len(classes)] = torch.tensor(classes)
    target_lengths = torch.tensor([len(classes) for classes in encoded])  # (N,)
    return Batch(
        torch.from_numpy(images),
        torch.from_numpy(image_widths),
        targets,
        target_lengths,
        tuple(sample.text for sample in samples),
        tuple(sample.name for sample in samples),
    )
