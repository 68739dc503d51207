"""Work in bulk: sweeps of runs, their comparison, many images read into one table."""

from hwrlib.batch.compare import compare, compare_lines, curves, effects, frontier
from hwrlib.batch.table import read_to_csv

__all__ = ["compare", "compare_lines", "curves", "effects", "frontier", "read_to_csv"]
