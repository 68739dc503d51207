"""``python -m hwrlib.onnx CHECKPOINT FILE.onnx``: see :func:`hwrlib.onnx.export.main`."""

from hwrlib.onnx.export import main

main()
