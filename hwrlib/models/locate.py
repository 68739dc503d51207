"""Where models are: shipped weights, checkpoint files, run folders. Nothing here imports torch."""

import re
from pathlib import Path

from hwrlib.weights import SHIPPED

BEST = "best_model.pth"
RESUME = "resume.pth"


def find_checkpoint(source: str | Path) -> Path:
    """The model checkpoint that a user means.

    Args:
        source: the name of shipped weights, a checkpoint file, or a run's folder, which stands for its best model or, if
            it has none, that of its last epoch. A folder with the name of shipped weights is written `./names`.
    Raises:
        FileNotFoundError: there is none.
    """
    if str(source) in SHIPPED:
        return SHIPPED[str(source)]
    path = Path(source)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(
            f"{source}: no such checkpoint or folder; give one, or the name of shipped weights: {', '.join(SHIPPED)}"
        )
    if (path / BEST).is_file():
        return path / BEST
    if epochs := epoch_checkpoints(path):
        return epochs[-1]
    raise FileNotFoundError(f"{path}: no {BEST} and no epoch checkpoint in this folder; has its training started?")


def latest_run(runs_dir: str | Path) -> Path:
    """The run whose best model was saved last.

    Raises:
        FileNotFoundError: no run of the folder has a checkpoint.
    """
    best = sorted(Path(runs_dir).glob(f"*/{BEST}"), key=lambda path: path.stat().st_mtime)
    if not best:
        raise FileNotFoundError(f"{runs_dir}: no run with a {BEST}; train one with notebook 02 or `make run`")
    return best[-1].parent


def epoch_path(run_dir: str | Path, epoch: int) -> Path:
    """The path of an epoch's checkpoint; epochs are counted from 1."""
    return Path(run_dir) / f"epoch_{epoch}_model_checkpoint.pth"


def epoch_checkpoints(run_dir: str | Path) -> list[Path]:
    """The epoch checkpoints of a run, earliest epoch first."""
    found = {path: re.fullmatch(r"epoch_(\d+)_model_checkpoint\.pth", path.name) for path in Path(run_dir).glob("*")}
    return sorted((path for path, match in found.items() if match), key=lambda path: int(found[path][1]))
