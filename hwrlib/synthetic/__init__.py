"""The embedded handwriting: letters as strokes, hands that write them, school forms, and the data set made of them.

`python -m hwrlib.synthetic --out data/synthetic` renders the data set that the course uses by default.
"""

from hwrlib.synthetic.dataset import PlannedImage, generate, name_pools, plan
from hwrlib.synthetic.hands import Hand, load_alphabets, make_hand, render_name, to_label

__all__ = [
    "Hand",
    "PlannedImage",
    "generate",
    "load_alphabets",
    "make_hand",
    "name_pools",
    "plan",
    "render_name",
    "to_label",
]
