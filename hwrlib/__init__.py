"""Handwriting recognition with a CRNN and CTC: the package behind the course's notebooks.

``from hwrlib import Recognizer`` reads images; everything else is imported from its module.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent   # the project's folder: notebooks/, data/ and runs/ stand in it

__all__ = ["ROOT", "Recognizer", "Reading"]


def __getattr__(name: str):
    """Import the reading interface when it is first asked for: `hwrlib.sources` alone needs no torch."""
    if name in ("Recognizer", "Reading"):
        from hwrlib import recognizer
        return getattr(recognizer, name)
    raise AttributeError(f"module 'hwrlib' has no attribute {name!r}")
