"""Run an exported model with ONNX Runtime: torch is not imported, so a cold start takes less than a second."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

from hwrlib.charset import Charset
from hwrlib.images import Normalisation

FORMAT = "hwrlib-onnx-1"
EXPORT = "python -m hwrlib.onnx CHECKPOINT FILE.onnx"


class OnnxModel:
    """Computes `log_probs` from images as `hwrlib.model.CRNN` does, on the CPU.

    Args:
        path: a file written by `hwrlib.onnx.export.to_onnx`.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an ONNX file, or not one written by this version of the package.
    """

    def __init__(self, path: str | Path):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; write it with `{EXPORT}`")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: the runtime warns about devices that this machine does not have
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            metadata = json.loads(self.session.get_modelmeta().custom_metadata_map.get("hwrlib", "{}"))
        except Exception as error:  # the runtime's exceptions have no common class of their own
            raise ValueError(
                f"{path}: not a readable ONNX file ({str(error).splitlines()[0]}); write it again with `{EXPORT}`"
            ) from error
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"{path}: not a model of this version of hwrlib ({FORMAT}), but {metadata.get('format')!r}; "
                f"write it again with `{EXPORT}`"
            )
        try:
            self.stride: int = metadata["stride"]  # px of image width per frame
            self.charset, self.normalisation = Charset(metadata["characters"]), Normalisation(**metadata["normalisation"])
            self.config, self.metrics = metadata["config"], metadata["metrics"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: incomplete metadata ({error}); write it again with `{EXPORT}`") from error

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        """Log-probabilities of every class at every frame.

        Args:
            images: (N, 1, H, W) uint8 ink, 0 is paper.
            image_widths: (N,) int64, px of each image that are not padding.
        Returns:
            log_probs (T, N, C) float32; values beyond a line's `image_widths // stride` frames are undefined.
        """
        return self.session.run(["log_probs"], {"images": images, "image_widths": image_widths})[0]
