"""The tiny trained recogniser as a file."""

from pathlib import Path

from hwrlib.models.export import to_onnx
from hwrlib.models.recognizer import Recognizer


def export_tiny(recognizer: Recognizer, path: Path, bits: int) -> Path:
    about = dict(config=recognizer.config, metrics=recognizer.metrics)
    return to_onnx(recognizer.model, recognizer.charset, recognizer.normalisation, path, bits=bits, **about)
