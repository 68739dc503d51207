"""Models as ONNX files: ``export`` writes them, with torch; ``runtime`` reads with them, without it."""
