"""Which labels are wrong: a model ranks those that it surely disagrees with, and a person decides."""

from hwrlib.audit.suspicion import COLUMNS, cross_validate, fold_sets, judge, save_suspects

__all__ = ["COLUMNS", "cross_validate", "fold_sets", "judge", "save_suspects"]
