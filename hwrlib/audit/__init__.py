"""The label audit: a model ranks the labels it most surely disagrees with, and a person decides which of them are wrong.

`suspicion` ranks the labels of a split; `cross_validation` does so for the training split, by models that never saw the
labels they judge; `suspects` keeps the table of suspects and decisions; `review` shows it with buttons in a notebook.
"""

from hwrlib.audit.cross_validation import cross_validate, fold_sets
from hwrlib.audit.suspects import save_suspects
from hwrlib.audit.suspicion import SUSPECT_COLUMNS, judge

__all__ = ["SUSPECT_COLUMNS", "cross_validate", "fold_sets", "judge", "save_suspects"]
