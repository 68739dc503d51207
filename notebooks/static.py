"""Make executed notebooks fit to be committed: no live widgets, and figures in 64 colours, a third as large.

No kernel answers a widget there; what it says as text stays. `python notebooks/static.py notebooks/0*.ipynb` is a part of
`make refresh`.
"""

import base64
import io
import sys

import nbformat
from PIL import Image

WIDGET = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"


def in_64_colours(figure: str) -> str:
    """A picture as an output holds it (PNG, base64), with a palette; one that would not become smaller stays as it is."""
    image = Image.open(io.BytesIO(base64.b64decode(figure)))
    if image.mode == "P":
        return figure
    file = io.BytesIO()
    image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    smaller = base64.b64encode(file.getvalue()).decode()
    return smaller if len(smaller) < len(figure) else figure


for path in sys.argv[1:]:
    notebook = nbformat.read(path, as_version=4)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        data.pop(WIDGET, None)
        if "text/html" in data:
            data.pop("text/latex", None)  # the same, for print
        if PNG in data:
            data[PNG] = in_64_colours(data[PNG])
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
