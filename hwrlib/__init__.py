"""Handwriting recognition with a CRNN and CTC: the package behind the course's notebooks."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent   # the project's folder: notebooks/, data/ and runs/ stand in it
