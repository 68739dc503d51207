"""Pages: from a photo or scan of a page to its lines and their text; ALTO, PAGE and hOCR in and out."""
