"""Recipes that start from shipped weights."""

import pytest

from hwrlib import ROOT
from hwrlib.charset import Charset
from hwrlib.models.checkpoint import load_model
from hwrlib.models.transfer import load_initial, start_from
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.state import build_model
from hwrlib.weights import SHIPPED


@pytest.mark.parametrize("recipe", ["finetune", "own_hand"])
def test_recipes_that_start_from_shipped_weights_have_their_sizes(recipe):
    config = TrainConfig.from_yaml(ROOT / "notebooks" / "params" / f"{recipe}.yaml")
    assert config.start_from in SHIPPED
    start_from(load_initial(config.start_from), build_model(config, 4), Charset("ABC"))
    assert config.height == load_model(SHIPPED[config.start_from])[2].height
