"""Work in bulk: many images read into one table."""

from hwrlib.batch.table import read_to_csv

__all__ = ["read_to_csv"]
