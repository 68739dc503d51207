"""A small model in a file."""

from pathlib import Path

import pytest
import torch

from hwrlib.charset import Charset
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import save_model


@pytest.fixture
def saved(tmp_path) -> Path:
    """The checkpoint of a small model."""
    torch.manual_seed(0)
    save_model(
        tmp_path / "model.pth",
        model=CRNN(4, width=8, hidden=3),
        charset=Charset("AÉB"),
        normalisation=Normalisation(height=16),
        config={"epochs": 2},
        metrics={"validation_cer": 0.5},
    )
    return tmp_path / "model.pth"
