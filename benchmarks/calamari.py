"""Calamari OCR, which is trained from scratch like this package, in its own virtual environment (Python 3.11 or older):

    python3.11 -m venv ~/calamari && ~/calamari/bin/pip install calamari-ocr==2.3.1
    python -m benchmarks --only reading accuracy --calamari ~/calamari

It trains its default network with its default settings, on the CPU. Start-up and the normalisation of all images are not
counted, as for ours; neither is the first step, in which TensorFlow builds its graph.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import alternate
from benchmarks.plain import PlainDataset
from hwrlib.metrics import score

# Like calamari-train, which can stop after epochs but not after seconds; killing it could leave half a model.
TRAIN = """
import sys, time
from calamari_ocr.scripts.train import parse_args
from tensorflow.keras.callbacks import Callback

class Clock(Callback):
    began = None

    def on_train_batch_end(self, batch, logs=None):
        self.began = self.began or time.perf_counter()
        self.seconds = time.perf_counter() - self.began
        self.model.stop_training = self.seconds >= float(sys.argv[1])

clock, params = Clock(), parse_args(sys.argv[2:])
params.scenario.cls().create_trainer(params).train(callbacks=[clock])
print(clock.seconds)"""

ENDLESS = 10**9  # images per epoch: Calamari validates and saves only at the end of an epoch, here when the time is up


class Calamari:
    """Calamari's training and reading, with the interface of `benchmarks.plain.PlainTraining`.

    Args:
        environment: folder of the virtual environment.
        data: a data set.
        work: a folder for the model and for links to images.
    Raises:
        FileNotFoundError: Calamari is not installed in the environment.
    """

    def __init__(self, environment: str | Path, data: str | Path, work: Path):
        self.programs, self.work = Path(environment).expanduser() / "bin", work.resolve()
        if not (self.programs / "calamari-predict").is_file():
            raise FileNotFoundError(
                f"{environment}: Calamari is not installed there; run python3.11 -m venv {environment} && "
                f"{environment}/bin/pip install calamari-ocr==2.3.1"
            )
        self.lines, self.validation = PlainDataset(data, "train"), PlainDataset(data, "validation")
        self.work.mkdir(parents=True, exist_ok=True)

    def train_for(self, seconds: float) -> float:
        """Train from scratch until the time is up; returns the seconds that it took."""
        few = slice(16)  # one batch: Calamari requires a validation split, whose result is not used here
        with TemporaryDirectory(dir=self.work) as train, TemporaryDirectory(dir=self.work) as validation:
            printed = self._run(
                "python",
                "-c",
                TRAIN,
                seconds,
                "--trainer.output_dir",
                self.work / "model",
                "--trainer.epochs",
                1,
                "--trainer.samples_per_epoch",
                ENDLESS,
                "--train.images",
                *lay_out(Path(train), self.lines.paths, self.lines.texts),
                "--val.images",
                *lay_out(Path(validation), self.validation.paths[few], self.validation.texts[few]),
            )
        return float(printed.split()[-1])

    def read(self, paths: list[Path]) -> list[str]:
        """The texts of image files, read with the model that was trained last."""
        with TemporaryDirectory(dir=self.work) as folder:
            self._run(
                "calamari-predict",
                "--checkpoint",
                self.work / "model" / "best.ckpt",
                "--verbose",
                False,
                "--data.images",
                *lay_out(Path(folder), paths),
            )
            return [Path(folder, f"{number:06d}.pred.txt").read_text(encoding="utf-8") for number in range(len(paths))]

    def validation_cer(self) -> float:
        """CER on the validation split."""
        return score(self.validation.texts, self.read(self.validation.paths)).cer

    def images_per_second(self, paths: list[Path]) -> float:
        """From image files to text, without start-up: all images timed against an eighth of them."""
        few = paths[: max(len(paths) // 8, 1)]
        seconds = alternate({"few": lambda: self.read(few), "all": lambda: self.read(paths)}, repeats=3)
        return (len(paths) - len(few)) / (seconds["all"] - seconds["few"])

    def _run(self, program: str, *arguments: object) -> str:
        done = subprocess.run([self.programs / program, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout


def lay_out(folder: Path, paths: list[Path], texts: Sequence[str] = ()) -> list[str]:
    """Create numbered links to images, with their texts beside them.

    Args:
        folder: an empty folder.
        paths: image files.
        texts: one per image, or none.
    Returns:
        Glob patterns that match the links.
    """
    for number, path in enumerate(paths):
        Path(folder, f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    for number, text in enumerate(texts):
        Path(folder, f"{number:06d}.gt.txt").write_text(text, encoding="utf-8")
    return [str(folder / f"*{suffix}") for suffix in sorted({path.suffix for path in paths})]
