"""`python -m hwrlib.onnx CHECKPOINT FILE.onnx`: see `hwrlib.onnx.export.main`."""

from hwrlib.onnx.export import main

main()
