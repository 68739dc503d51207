"""Straight lines, and pages saved beside their image."""

import numpy as np

from hwrlib.pages import Line


def straight(x, y, width, *, height=20, **about):
    baseline = np.array([[x, y], [x + width, y]], float)
    polygon = np.array([[x, y - height], [x + width, y - height], [x + width, y + 5], [x, y + 5]], float)
    return Line(baseline, polygon, **about)
