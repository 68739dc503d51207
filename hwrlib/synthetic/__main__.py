"""Render handwritten French names: `python -m hwrlib.synthetic --out data/synthetic`."""

import argparse
import sys
import time
from pathlib import Path

from hwrlib.common.extras import MissingExtra
from hwrlib.sets.labels import SPLITS
from hwrlib.synthetic.dataset import generate


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: instead of those of the process.
    Returns:
        Exit status: 0, or 2 for an error, which is printed without a traceback.
    """
    options = _parser().parse_args(arguments)
    start = time.perf_counter()
    try:
        rendered = generate(**vars(options))
    except (ValueError, OSError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    count, seconds = options.train + options.validation + options.test, time.perf_counter() - start
    speed = f"rendered in {seconds:.1f} s, {count / seconds:.0f} images/s" if rendered else "already there"
    print(f"{options.out}: {count} images {speed}")
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = generate.__kwdefaults__
    parser = argparse.ArgumentParser(prog="python -m hwrlib.synthetic", description="Render handwritten French names.")
    parser.add_argument("--out", type=Path, default=Path("data/synthetic"), help="folder to create (default: %(default)s)")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=int, default=defaults[split], help="number of images (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=defaults["seed"], help="seed of everything random (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
