"""Handwriting recognition with a CRNN and CTC: the package behind the course's notebooks.

`from hwrlib import Recognizer` reads images. The lesson is ten files, in this order; each imports only the ones before it:

    charset   characters and their classes; class 0 is the CTC blank
    decode    any file, array or tensor as grey levels
    images    any image as normalised ink; a batch of them
    collate   labelled lines as batches; loaders that group lines by width
    model     the CRNN
    ctc       the loss, greedy decoding, the probability of a text
    metrics   CER, WER, exact match, intervals
    augment   distortions of a batch
    reader    images to frames to readings
    train     the loss of a batch, one step, one epoch, evaluation

Folders hold everything else, on levels: a file imports from its own level or from below.

    1  common, onnx, weights             files and archives; ONNX graphs and their runtime; the shipped weights
    2  sets, language, pages, synthetic  data sets; language models; lines on pages; rendered handwriting
    3  models, plots                     checkpoints, `Recognizer`, export; figures
    4  runs, sources, live, audit        training runs; importers; widgets; wrong labels
    5  batch                             sweeps, comparisons, very many images
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the project's folder, which holds notebooks/, data/ and runs/

__all__ = ["ROOT", "Recognizer", "Reading"]


def __getattr__(name: str):
    """Import the reading interface on first use: the ten files import nothing else of the package."""
    if name == "Recognizer":
        from hwrlib.models.recognizer import Recognizer

        return Recognizer
    if name == "Reading":
        from hwrlib.reader import Reading

        return Reading
    raise AttributeError(f"module 'hwrlib' has no attribute {name!r}")
