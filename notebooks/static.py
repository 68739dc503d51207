"""Remove live widgets from the outputs of committed notebooks, where no kernel answers them; what they say as text stays.

`python notebooks/static.py notebooks/0*.ipynb` is a part of `make refresh`.
"""

import sys

import nbformat

WIDGET = "application/vnd.jupyter.widget-view+json"

for path in sys.argv[1:]:
    notebook = nbformat.read(path, as_version=4)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        output.get("data", {}).pop(WIDGET, None)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
