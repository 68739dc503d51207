"""Importers of data sets: a Kaggle archive, a folder with a table, transcribed pages, a set already split.

Each function checks every label and every image, writes the set only when it is complete, and returns an `ImportReport`
of what was skipped and why. On the command line: `python -m hwrlib.sources --help`. Nothing here imports torch.
"""

from hwrlib.common.extras import require

require("train", "importing a data set", "pandas")

from hwrlib.common.archives import MB, ArchiveError, open_source
from hwrlib.sources.folder import prepare_folder
from hwrlib.sources.layout import AlreadyPrepared
from hwrlib.sources.pages import prepare_pages
from hwrlib.sources.report import ImportReport
from hwrlib.sources.splits import prepare_kaggle, prepare_layout

__all__ = [
    "MB",
    "AlreadyPrepared",
    "ArchiveError",
    "ImportReport",
    "open_source",
    "prepare_folder",
    "prepare_kaggle",
    "prepare_layout",
    "prepare_pages",
]
