"""hwrlib.batch.pages: pages read in bulk."""

import cv2
import numpy as np
import pytest

from hwrlib.batch import read_pages
from hwrlib.synthetic.pages import render_page


@pytest.mark.parametrize("form, suffix", [("txt", ".txt"), ("alto", ".alto.xml"), ("page", ".page.xml"), ("hocr", ".hocr")])
def test_pages_are_read_in_bulk(transcribed, tmp_path, form, suffix):
    report = read_pages(transcribed / "first", tmp_path / "out", form=form, model="names")
    assert (report.read, report.before, report.failed) == (3, 0, [])
    assert sorted(path.name for path in (tmp_path / "out").glob("*" + suffix)) == [f"p{n}{suffix}" for n in range(3)]
    (tmp_path / "out" / f"p1{suffix}").unlink()
    again = read_pages(transcribed / "first", tmp_path / "out", form=form, model="names")
    assert (again.read, again.before) == (1, 2)


def test_a_broken_page_stops_nothing(tmp_path):
    page = render_page(0, columns=1, rows=2)
    cv2.imwrite(str(tmp_path / "good.png"), page.image)
    (tmp_path / "bad.png").write_bytes(b"no image")
    report = read_pages(tmp_path, tmp_path / "out", model="names", jobs=2)
    assert report.read == 1 and [name for name, _ in report.failed] == ["bad.png"]
    assert "bad.png" in (tmp_path / "out" / "errors.csv").read_text()


def test_two_images_cannot_become_one_document(tmp_path):
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((50, 50), 255, np.uint8))
    with pytest.raises(ValueError, match="both become"):
        read_pages(tmp_path, tmp_path / "out", model="names")
    with pytest.raises(ValueError, match="alto"):
        read_pages(tmp_path, tmp_path / "out", form="docx")
