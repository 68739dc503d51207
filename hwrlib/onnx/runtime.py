"""Run an exported model with ONNX Runtime: torch is not imported, so a cold start takes less than a second."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from hwrlib.charset import Charset
from hwrlib.images import WIDTH_STEP, Normalisation

FORMAT = "hwrlib-onnx-1"
EXPORT = "python -m hwrlib.models.export CHECKPOINT FILE.onnx"


def session(path: str | Path) -> onnxruntime.InferenceSession:
    """A model file, loaded for the CPU, with as many threads as `OMP_NUM_THREADS` says.

    Raises:
        Exception: it is not a readable ONNX file; the runtime's exceptions have no common class of their own.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the runtime warns about devices that are not there; its errors are raised anyhow
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)  # 0: one per processor
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"], enable_fallback=0)


class OnnxModel:
    """Computes `log_probs` from images as `hwrlib.model.CRNN` does, on the CPU.

    Args:
        path: a file written by `hwrlib.models.export.to_onnx`.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an ONNX file, or not one written by this version of the package.
    """

    def __init__(self, path: str | Path):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; write it with `{EXPORT}`")
        try:
            self.session = session(path)
            metadata = json.loads(self.session.get_modelmeta().custom_metadata_map.get("hwrlib", "{}"))
            metadata = metadata if isinstance(metadata, dict) else {}
        except Exception as error:
            raise ValueError(
                f"{path}: not a readable ONNX file ({str(error).splitlines()[0]}); write it again with `{EXPORT}`"
            ) from error
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"{path}: not a model of this version of hwrlib ({FORMAT}), but {metadata.get('format')!r}; "
                f"write it again with `{EXPORT}`"
            )
        try:
            self._take(metadata)
        except Exception as error:  # the graph is tried, which fails in the runtime's ways
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200]
            raise ValueError(f"{path}: its parts do not fit together ({reason}); write it again with `{EXPORT}`") from error

    def _take(self, metadata: dict[str, Any]) -> None:
        """Take over what the file says of itself, if the graph agrees.

        Raises:
            Exception: something is missing, of the wrong type, or contradicts the graph, or the graph does not run.
        """
        self.charset, self.normalisation = Charset(metadata["characters"]), Normalisation(**metadata["normalisation"])
        self.config, self.metrics = dict(metadata["config"]), dict(metadata["metrics"])
        self.stride: int = metadata["stride"]  # px of image width per frame
        if type(self.stride) is not int or not 1 <= self.stride <= WIDTH_STEP or WIDTH_STEP % self.stride:
            raise ValueError(f"a stride of {self.stride!r}")
        inputs, outputs = ({value.name: value for value in values} for values in self._declared())
        if set(inputs) != {"images", "image_widths"} or set(outputs) != {"log_probs"}:
            raise ValueError(f"inputs {sorted(inputs)} and outputs {sorted(outputs)}")
        height, num_classes = inputs["images"].shape[2], outputs["log_probs"].shape[2]
        if (inputs["images"].type, inputs["image_widths"].type) != ("tensor(uint8)", "tensor(int64)"):
            raise ValueError(f"inputs of {inputs['images'].type} and {inputs['image_widths'].type}")
        if (height, num_classes) != (self.normalisation.height, len(self.charset)):
            raise ValueError(
                f"a graph for a height of {height} px and {num_classes} classes, beside a normalisation of "
                f"{self.normalisation.height} px and a charset of {len(self.charset)} classes"
            )

        blank = np.zeros((1, 1, height, WIDTH_STEP), np.uint8)  # an image to try
        log_probs = self.infer(blank, np.array([WIDTH_STEP]))
        if len(log_probs) != WIDTH_STEP // self.stride or not np.isfinite(log_probs).all():
            raise ValueError(f"{len(log_probs)} frames for {WIDTH_STEP} px at a stride of {self.stride} px, or not numbers")

    def _declared(self) -> tuple[list, list]:
        return self.session.get_inputs(), self.session.get_outputs()

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        """Log-probabilities of every class at every frame.

        Args:
            images: (N, 1, H, W) uint8 ink, 0 is paper.
            image_widths: (N,) int64, px of each image that are not padding.
        Returns:
            log_probs (T, N, C) float32; values beyond a line's `image_widths // stride` frames are undefined.
        """
        return self.session.run(["log_probs"], {"images": images, "image_widths": image_widths})[0]
