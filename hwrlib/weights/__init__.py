"""Trained models that come with the package: for each a checkpoint, the same for ONNX Runtime, and a model card."""

from pathlib import Path

SHIPPED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.pth"))}  # by name: the checkpoints
