"""Models on disk and in use: checkpoints, transfer, ONNX export, and `Recognizer`, which reads with one."""
