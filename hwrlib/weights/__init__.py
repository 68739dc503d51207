"""Trained models that come with the package: for each an ONNX file, a language model and a model card."""

from pathlib import Path

SHIPPED = {name: Path(__file__).with_name(f"{name}.onnx") for name in ("lines", "names")}  # recognisers by name
