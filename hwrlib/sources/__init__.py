"""Where data sets come from: archives, Kaggle's, a folder with a table → the one layout, with a report."""

from hwrlib.sources.archives import MB, ArchiveError, open_source
from hwrlib.sources.prepare import AlreadyPrepared, Report, prepare_folder, prepare_kaggle, prepare_layout

__all__ = ["MB", "AlreadyPrepared", "ArchiveError", "Report", "open_source", "prepare_folder", "prepare_kaggle",
           "prepare_layout"]
