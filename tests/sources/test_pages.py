"""hwrlib.sources.pages: transcribed pages become lines."""

import cv2
import pandas as pd
import pytest

from hwrlib.sets.labels import SPLITS
from hwrlib.sources import prepare_pages
from hwrlib.sources.__main__ import main as sources_main

SUFFIXES = (".alto.xml", ".page.xml")


def test_pages_become_lines_with_a_report(transcribed, tmp_path):
    (tmp_path / "signs.csv").write_text("sign,becomes\n¬,\n#,(skip)\n")
    report = prepare_pages(transcribed, tmp_path / "set", conventions=tmp_path / "signs.csv", validation=0.2, test=0.2)
    rows = pd.concat(pd.read_csv(tmp_path / "set" / f"{split}.csv") for split in SPLITS)
    assert len(rows) == 6 * 4 + 1 - 1 and "MARTIN" in set(rows["IDENTITY"]) and not rows["IDENTITY"].str.contains("¬").any()
    assert report.splits["table"].left_out == {"sign '#'": 1}
    assert report.refused == {"pages that cannot be used": 1, "texts without an image": 1}
    assert "broken.xml: not a well-formed XML document" in str(report) and len(report.faults) == 2
    per_split = [set(pd.read_csv(tmp_path / "set" / f"{split}.csv")["PAGE"]) for split in SPLITS]
    assert not per_split[0] & per_split[1] and not per_split[1] & per_split[2] and not per_split[0] & per_split[2]
    image = cv2.imread(str(next((tmp_path / "set" / "train").rglob("line_001.png"))), cv2.IMREAD_GRAYSCALE)
    assert 20 < len(image) <= 128 and image.shape[1] > 2 * len(image) and image.min() < 120


def test_writers_stay_in_one_split(transcribed, tmp_path):
    table = tmp_path / "writers.csv"
    table.write_text("page,writer\n" + "".join(f"p{n}{SUFFIXES[n % 2][:-4]},w{n // 2}\n" for n in range(6)))
    report = prepare_pages(transcribed, tmp_path / "set", writers=table, validation=0.3, test=0.3)
    writers = [set(pd.read_csv(tmp_path / "set" / f"{split}.csv")["WRITER"]) for split in SPLITS]
    assert sorted(map(len, writers)) == [1, 1, 1] and len(set.union(*writers)) == 3
    assert report.splits["table"].left_out == {"page that the table of writers does not name": 1}


def test_an_import_that_cannot_work_says_why(transcribed, tmp_path, capsys):
    for folder, options, message in (
        (tmp_path, {}, "no line with a text"),
        (transcribed, dict(group="book"), "group must be"),
        (transcribed, dict(validation=0.9), "sum to less than 1"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_pages(folder, tmp_path / "set", **options)
    assert sources_main(["pages", str(tmp_path / "none"), "--out", str(tmp_path / "set")]) == 2
    assert "none" in capsys.readouterr().err
