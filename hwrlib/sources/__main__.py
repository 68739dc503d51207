"""Import a data set into the standard layout: `<out>/{train,validation,test}/` and a CSV file for each split.

python -m hwrlib.sources kaggle ARCHIVE --out data/kaggle
python -m hwrlib.sources folder IMAGES TABLE --out data/mine --text-column text --group-column writer
python -m hwrlib.sources layout SOURCE --out data/lines
python -m hwrlib.sources pages FOLDER --out data/mine --conventions signs.csv
"""

import argparse
import sys

from hwrlib.sources import AlreadyPrepared, prepare_folder, prepare_kaggle, prepare_layout, prepare_pages
from hwrlib.sources.pages import GROUPS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: instead of those of the process.
    Returns:
        Exit status: 0 for a set that is prepared, now or before; 2 for an error, which is printed without a traceback.
    """
    options = vars(_parser().parse_args(arguments))
    try:
        print(options.pop("function")(**options))
    except AlreadyPrepared as error:  # not a failure, just as for `make` if a target is up to date
        print(error)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hwrlib.sources", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="{kaggle,folder,layout,pages}")
    kaggle = commands.add_parser("kaggle", help="the Kaggle data set landlord/handwriting-recognition")
    kaggle.add_argument("archive", help="the zip from Kaggle, or the folder it unpacks to")
    folder = commands.add_parser("folder", help="a folder of images and a table of their texts")
    folder.add_argument("images", help="folder or zip with the images")
    folder.add_argument("table", help="CSV or TSV file with a row per image")
    folder.add_argument("--filename-column", default="FILENAME", help="header of the file names (default: %(default)s)")
    folder.add_argument("--text-column", default="IDENTITY", help="header of the texts (default: %(default)s)")
    folder.add_argument("--group-column", help="header of the writer or page: rows with the same value stay in one split")
    folder.add_argument(
        "--recursive",
        action="store_true",
        help="find bare file names in subfolders, too; without it, the table must name the subfolder",
    )
    layout = commands.add_parser("layout", help="a data set that is already split and in the standard layout")
    layout.add_argument("source", help="zip or folder")
    pages = commands.add_parser("pages", help="ALTO or PAGE documents with their images, or images with .gt.txt files")
    pages.add_argument("folder", help="the folder that holds them, at any depth")
    pages.add_argument(
        "--conventions", help="table of editorial signs with the columns sign and becomes; (skip) drops a line"
    )
    pages.add_argument("--writers", help="table with the columns page and writer: all lines of a writer stay in one split")
    pages.add_argument("--group", default="page", choices=GROUPS, help="what stays in one split (default: %(default)s)")
    for command in (folder, pages):
        command.add_argument("--validation", type=float, default=0.1, help="fraction of the lines (default: %(default)s)")
        command.add_argument("--test", type=float, default=0.1, help="fraction of the lines (default: %(default)s)")
        command.add_argument("--seed", type=int, default=0, help="seed of the shuffle (default: %(default)s)")
    functions = {kaggle: prepare_kaggle, folder: prepare_folder, layout: prepare_layout, pages: prepare_pages}
    for command, function in functions.items():
        command.set_defaults(function=function)
        command.add_argument("--out", required=True, help="folder to create, for example data/mine")
        command.add_argument("--overwrite", action="store_true", help="replace a set prepared there before")
    return parser


if __name__ == "__main__":
    sys.exit(main())
