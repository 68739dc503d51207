"""Every figure of the course. Each function returns a `Figure`; none computes what a lesson teaches."""

from hwrlib.pages.figures import baselines, maps, page, profile
from hwrlib.plots.ctc import beams, ctc_frames, spans, trellis
from hwrlib.plots.data import frames_and_needs, frequencies, histograms
from hwrlib.plots.errors import confusions, rates, reliability, suspicion
from hwrlib.plots.lines import SIGNS, padding, readings, sheet, stages
from hwrlib.plots.training import curves, curves_of_runs, effects, frontier, weights

__all__ = ["SIGNS", "padding", "readings", "sheet", "stages"]
__all__ += ["frames_and_needs", "frequencies", "histograms"]
__all__ += ["curves", "curves_of_runs", "effects", "frontier", "weights"]
__all__ += ["confusions", "rates", "reliability", "suspicion"]
__all__ += ["beams", "ctc_frames", "spans", "trellis"]
__all__ += ["baselines", "maps", "page", "profile"]
