"""Words as images, and their ink compared."""

import numpy as np

from hwrlib.images import Normalisation, normalise
from hwrlib.sets.dataset import LineDataset

SIZES = Normalisation(height=32, max_width=128, min_width=32)
SMALL = Normalisation(height=16, max_width=64, min_width=16)

WORD = np.full((48, 160), 255, np.uint8)
WORD[10:38, 20:24] = WORD[34:38, 20:50] = WORD[10:38, 90:94] = 0


def ink_of(image, normalisation: Normalisation = SIZES) -> np.ndarray:
    return normalise(image, normalisation).ink.astype(int)


def alike(a: np.ndarray, b: np.ndarray, limit: float = 3.0) -> bool:
    """Same shape, and on average at most so many grey levels apart."""
    return a.shape == b.shape and np.abs(a - b).mean() < limit


def opened(folder, normalisation: Normalisation = SMALL) -> LineDataset:
    """The training split of a data set."""
    return LineDataset(folder, "train", normalisation)
