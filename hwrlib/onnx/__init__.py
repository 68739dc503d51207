"""Models as ONNX files: `export` writes one from a checkpoint, `runtime` reads images with one, without torch."""
