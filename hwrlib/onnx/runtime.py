"""A model that :mod:`hwrlib.onnx.export` wrote, run by ONNX Runtime: no torch, so a cold start takes a second."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

from hwrlib.charset import Charset
from hwrlib.images import Normalisation

FORMAT = "hwrlib-onnx-1"


class OnnxModel:
    """From images to ``log_probs``, as :class:`hwrlib.model.CRNN` does, on the CPU.

    Args:
        path: a file that :func:`hwrlib.onnx.export.to_onnx` wrote.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ONNX file, or none of this package's version.
    """

    def __init__(self, path: str | Path):
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; write one with `python -m hwrlib.onnx`")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3   # errors only: the runtime warns of devices that are not there
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            about = json.loads(self.session.get_modelmeta().custom_metadata_map.get("hwrlib", "{}"))
        except Exception as error:       # the runtime's exceptions share no class of their own
            raise ValueError(f"{path}: no readable ONNX file ({str(error).splitlines()[0]}); write it anew with "
                             "`python -m hwrlib.onnx`") from error
        if about.get("format") != FORMAT:
            raise ValueError(f"{path}: not a model of this version of hwrlib ({FORMAT}), but {about.get('format')!r}; "
                             "write it anew with `python -m hwrlib.onnx`")
        try:
            self.stride: int = about["stride"]                  # px of image width a frame
            self.charset, self.normalisation = Charset(about["characters"]), Normalisation(**about["normalisation"])
            self.config, self.metrics = about["config"], about["metrics"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: lacks what hwrlib notes in its models ({error}); write it anew with "
                             "`python -m hwrlib.onnx`") from error

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        """Log-probabilities of every class at every frame.

        Args:
            images: (N, 1, H, W) uint8 ink, 0 is paper.
            image_widths: (N,) int64, px of each image that are not padding.
        Returns:
            log_probs (T, N, C) float32; frames past ``image_widths // stride`` are to be ignored.
        """
        return self.session.run(["log_probs"], {"images": images, "image_widths": image_widths})[0]
