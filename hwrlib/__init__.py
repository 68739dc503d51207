"""Handwriting recognition with a CRNN and CTC: the package behind the course's notebooks.

`from hwrlib import Recognizer` reads images. The lesson is eight files, in this order:

    charset     characters and their classes; class 0 is the CTC blank
    images      any image as normalised ink
    data        LineDataset, ctc_collate, loaders that group lines by width
    model       the CRNN
    ctc         the loss, greedy decoding, the probability of a text
    metrics     CER, WER, exact match, intervals
    train       train_step, train_one_epoch, evaluate, fit
    recognizer  a trained model that reads images

Other files support these; folders are drawers for everything else (see the README's architecture).
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the project's folder, which holds notebooks/, data/ and runs/

__all__ = ["ROOT", "Recognizer", "Reading"]


def __getattr__(name: str):
    """Import the reading interface on first use: `hwrlib.sources` alone needs neither torch nor ONNX Runtime."""
    if name in ("Recognizer", "Reading"):
        from hwrlib import recognizer

        return getattr(recognizer, name)
    raise AttributeError(f"module 'hwrlib' has no attribute {name!r}")
