"""Two images of one name are two rows."""

import shutil

import pytest

from hwrlib.common.files import find_images
from hwrlib.reader import Reading
from hwrlib.sets.labels import read_labels


@pytest.fixture(scope="module")
def paths(drawn_set):
    """Twelve images that were not trained on."""
    return sorted((drawn_set / "test").iterdir())


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_two_images_of_one_name_are_two_rows(recognizer, paths, tmp_path):
    for folder, path in (("a", paths[0]), ("b/c", paths[1])):
        (tmp_path / "scans" / folder).mkdir(parents=True)
        shutil.copy(path, tmp_path / "scans" / folder / "0001.png")
    found = find_images(tmp_path / "scans", recursive=True)
    assert recognizer.read_to_csv([*found, found[0]], tmp_path / "texts.csv", root=tmp_path / "scans") == []
    rows = read_labels(tmp_path / "texts.csv", filename_column="filename", text_column="text")
    assert rows["FILENAME"].tolist() == ["a/0001.png", "b/c/0001.png"]
    assert rows["IDENTITY"].tolist() == texts(recognizer.read(found))
    recognizer.read_to_csv(found[:1], tmp_path / "as_given.csv")
    assert read_labels(tmp_path / "as_given.csv", filename_column="filename", text_column="text")["FILENAME"].tolist() == [
        found[0].as_posix()
    ]
