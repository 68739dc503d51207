"""Fit a language to a trained model and save it beside the model, as training does at its end.

python -m hwrlib.language runs/mine --data data/mine
python -m hwrlib.language runs/mine --data data/mine --text more_text.txt --order 8
"""

import argparse
import logging
import sys
from collections.abc import Mapping

from hwrlib.checkpoint import find_checkpoint
from hwrlib.corrections import apply_decisions
from hwrlib.data import LineDataset
from hwrlib.language.arpa import MAX_ORDER
from hwrlib.language.fitting import ORDER, leave_language, read_texts
from hwrlib.progress import logger
from hwrlib.recognizer import LANGUAGE_SUFFIX, Recognizer


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    logger.setLevel(logging.INFO)
    try:
        checkpoint = find_checkpoint(options.checkpoint)
        texts = read_texts(options.text) if options.text else ()
        normalisation = Recognizer.from_checkpoint(checkpoint, decoder=None).normalisation
        labels = LineDataset(options.data, "train", normalisation).texts
        validation = LineDataset(options.data, "validation", normalisation)
        if options.corrections:
            apply_decisions(validation, options.corrections)
        decoder = leave_language(checkpoint, labels, validation, order=options.order, more=texts).decoder
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    file = checkpoint.with_suffix(LANGUAGE_SUFFIX)
    print(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB; weight {decoder.weight}, bonus {decoder.bonus}, "
        f"temperature {decoder.of_texts.temperature}; {len(labels):,} labels, {len(texts):,} further texts"
        f"{' with frequencies' if isinstance(texts, Mapping) else ''}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hwrlib.language", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", help="shipped weights by name, a checkpoint file, or a run's folder")
    parser.add_argument("--data", required=True, help="the data set that the model was trained on")
    parser.add_argument("--text", help="further texts: one per line, or a CSV file with the columns text and frequency")
    parser.add_argument(
        "--order",
        type=int,
        choices=range(1, MAX_ORDER + 1),
        default=ORDER,
        metavar="N",
        help="of the n-grams (default: %(default)s)",
    )
    parser.add_argument("--corrections", help="decisions on labels of the validation split (notebook 05)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
