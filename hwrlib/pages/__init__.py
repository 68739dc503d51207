"""Pages: from a photo or scan of a page to its lines and their text; ALTO, PAGE and hOCR in and out.

find        the lines of a page: the network's maps, baselines, outlines, reading order
read        a page: its lines found, cut out and read
page        Line and Page, which everything here has in common
cut         a line cut out along its baseline, straightened
documents   ALTO and PAGE (`load_page`), written by `alto`, `pagexml` and `hocr`
network     the network that finds lines; `maps`, `examples` and `export` belong to it (trained in `hwrlib.runs.pages`)
classical   the same without a network, to compare
scoring     precision and recall of baselines
"""

from hwrlib.pages.documents import find_documents, load_page
from hwrlib.pages.find import find_lines
from hwrlib.pages.page import Line, Page

__all__ = ["Line", "Page", "find_documents", "find_lines", "load_page"]
