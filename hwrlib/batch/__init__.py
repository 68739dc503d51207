"""Work in bulk: sweeps of runs, their comparison, very many images or pages read."""

from importlib import import_module
from typing import Any

# Imported when they are used: not all of them need torch, joblib or papermill.
_LATER = {name: "comparison" for name in ("compare", "compare_lines", "curves", "effects", "frontier")}
_LATER |= {"read_many": "read", "read_pages": "pages", "run_sweep": "sweep"}

__all__ = [*_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'hwrlib.batch' has no attribute {name!r}")
    return getattr(import_module(f"hwrlib.batch.{_LATER[name]}"), name)
