"""Training runs: their configuration, data, state and folder; fitting a language to a trained model; blending."""

from hwrlib.common.extras import require

require("train", "training", "torch", "accelerate", "pandas", "yaml")
