"""notebooks/static.py: what executed notebooks keep when they are committed."""

import base64
import io
import subprocess
import sys

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from hwrlib import ROOT

SCRIPT = ROOT / "notebooks/static.py"


def in_base64(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_widgets_go_and_figures_get_a_palette(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.integers(8, 248, (120, 320, 1)) + rng.integers(-3, 4, (120, 320, 4))  # greys, and far more than 256 colours
    drawn[..., 3] = 255
    plain = Image.new("P", (40, 30))
    pictures = [in_base64(Image.fromarray(drawn.astype(np.uint8))), in_base64(plain)]
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a pad"}
    outputs = [new_output("display_data", {"image/png": picture, "text/plain": "a figure"}) for picture in pictures]
    outputs += [new_output("display_data", widget), new_output("stream", text="said")]
    path = tmp_path / "0.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("show()", outputs=outputs)], metadata={"widgets": {"state": {}}}), path)
    subprocess.run([sys.executable, SCRIPT, path], check=True)
    once, notebook = path.read_text(), nbformat.read(path, as_version=4)
    figure, small, pad, said = notebook.cells[0].outputs
    image = Image.open(io.BytesIO(base64.b64decode(figure.data["image/png"])))
    assert image.mode == "P" and len(figure.data["image/png"]) < 0.6 * len(pictures[0])
    assert np.abs(np.asarray(image.convert("RGB"), int) - drawn[..., :3]).mean() < 4
    assert small.data["image/png"] == pictures[1], "it has a palette already"
    assert pad.data == {"text/plain": "a pad"} and said.text == "said" and "widgets" not in notebook.metadata
    subprocess.run([sys.executable, SCRIPT, path], check=True)
    assert path.read_text() == once
