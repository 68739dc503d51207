"""Models as ONNX files: `export` writes one from a checkpoint, with torch; `runtime` reads images with one, without torch."""
