"""Training runs: their configuration, data, state and folder; fitting a language to a trained model; blending."""
