"""The embedded handwriting: letters as strokes, hands that write them, forms they write on, and the data set made of it."""

from hwrlib.synthetic.dataset import Sample, generate, name_pools, plan
from hwrlib.synthetic.hands import Hand, load_fonts, make_hand, render_name, to_label

__all__ = ["Hand", "Sample", "generate", "load_fonts", "make_hand", "name_pools", "plan", "render_name", "to_label"]
