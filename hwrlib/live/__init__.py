"""Widgets for a notebook page: write on it, and watch what a recogniser reads.

`WritingPad` takes strokes of a mouse, a pen or a finger and shows at each lifted stroke what is read. `Collector` is a pad
that asks for words and saves them as a data set. `PhotoReader` reads lines that are marked in a photo. All are anywidgets:
one JavaScript module without a build step, which works in JupyterLab 4, VS Code and Colab.
"""

from hwrlib.live import rendered
from hwrlib.live.collector import Collector
from hwrlib.live.pad import WritingPad
from hwrlib.live.photo import PhotoReader
from hwrlib.live.prompts import choose_prompts, letter_counts

__all__ = ["Collector", "PhotoReader", "WritingPad", "choose_prompts", "letter_counts", "rendered"]
