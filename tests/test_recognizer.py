"""hwrlib.models.recognizer: reading images of every kind, one and many."""

import errno
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.photo import photographed
from hwrlib import synthetic
from hwrlib.charset import Charset
from hwrlib.common.files import find_images
from hwrlib.decode import to_grey
from hwrlib.images import Normalisation
from hwrlib.metrics import cer
from hwrlib.model import CRNN
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading
from hwrlib.sets.labels import read_labels


@pytest.fixture(scope="module")
def paths(drawn_set):
    """Twelve images that were not trained on."""
    return sorted((drawn_set / "test").iterdir())


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_it_reads_words_it_was_trained_for(recognizer, paths, draw):
    assert texts(recognizer.read(paths)).count("") == 0
    assert recognizer.read(draw("ZOE")).text == "ZOE"


def test_one_image_gives_one_reading_and_many_give_a_list(recognizer, paths):
    one = recognizer.read(paths[0])
    assert isinstance(one, Reading) and recognizer.read([paths[0]]) == [one]
    assert recognizer.read([]) == []


def test_path_image_and_array_give_the_same(recognizer, paths):
    for path in paths[:3]:
        with Image.open(path) as image:
            array = np.asarray(image)
            forms = [path, str(path), image.copy(), image.convert("RGB"), array, array / 255]
        first, *others = recognizer.read(forms)
        assert texts(others) == [first.text] * 5
        assert [other.confidence for other in others] == pytest.approx([first.confidence] * 5, abs=1e-4)


def test_reading_does_not_change_the_image_given(recognizer, paths, tmp_path):
    Image.open(paths[0]).convert("RGB").save(tmp_path / "colour.jpg")
    with Image.open(tmp_path / "colour.jpg") as image:
        recognizer.read(image)
        assert image.mode == "RGB"


def test_order_is_kept_whatever_the_batches(recognizer, paths, draw, monkeypatch):
    images = [draw("LEO" * (1 + number % 3), seed=number) for number in range(9)] + paths
    alone = [recognizer.read(image) for image in images]
    for batch_size in (1, 4, 64):
        assert texts(recognizer.read(images, batch_size=batch_size)) == texts(alone)
    monkeypatch.setattr("hwrlib.reader.CHUNK", 5)
    assert texts(recognizer.read(images)) == texts(alone)


def test_read_each_takes_images_as_they_come(recognizer, paths, monkeypatch):
    monkeypatch.setattr("hwrlib.reader.CHUNK", 2)
    taken = []

    def stream():
        for path in paths:
            taken.append(path)
            yield path

    readings = recognizer.read_each(stream())
    assert taken == []
    next(readings)
    assert len(taken) == 2  # no more images in memory than a chunk


def test_confidences_are_probabilities(recognizer, paths):
    for reading in recognizer.read(paths):
        assert 0 < reading.confidence <= 1
        assert all(0 < character.confidence <= 1 for character in reading.characters)
        assert "".join(character.text for character in reading.characters) == reading.text


def test_spans_lie_in_the_image_from_left_to_right(recognizer, paths):
    for path, reading in zip(paths, recognizer.read(paths)):
        places = [place for character in reading.characters for place in (character.start, character.end)]
        assert places == sorted(places) and len(places) == 2 * len(reading.text)
        assert 0 <= places[0] and places[-1] <= Image.open(path).width
        assert all(character.start < character.end for character in reading.characters)


def test_spans_lie_in_the_image_for_narrow_images_and_wild_models():
    for seed in range(6):
        torch.manual_seed(seed)
        model = CRNN(5, width=8, hidden=8)
        model.classifier.weight.data *= 40  # an untrained model that is sure of something everywhere
        recognizer = Recognizer(model, Charset("ABCD"), Normalisation(height=16, max_width=64, min_width=64))
        for width in (3, 11, 50, 300):
            image = np.where(np.random.default_rng(seed).random((20, width)) < 0.2, 0, 255).astype(np.uint8)
            for character in recognizer.read(image).characters:
                assert 0 <= character.start <= character.end <= width


def test_spans_stand_where_the_letters_stand(recognizer, draw):
    word, wide = draw("LEO"), np.full((48, 400), 255, np.uint8)
    wide[:, 250 : 250 + word.shape[1]] = word
    near, far = recognizer.read(word), recognizer.read(wide)
    assert near.text == far.text == "LEO"
    for a, b in zip(near.characters, far.characters):
        assert b.start - a.start == pytest.approx(250, abs=4)


def test_log_probs_are_the_frames_of_each_image(recognizer, paths):
    frames = recognizer.log_probs(paths[:3])
    for log_probs in frames:
        assert log_probs.shape[1] == len(recognizer.charset)
        assert np.exp(log_probs).sum(1) == pytest.approx(np.ones(len(log_probs)), abs=1e-5)


def test_images_that_cannot_be_read_are_named(recognizer, paths, tmp_path):
    (tmp_path / "scan_7.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="scan_7.jpg: not a readable image"):
        recognizer.read([paths[0], tmp_path / "scan_7.jpg"])
    with pytest.raises(ValueError, match="scan_8.jpg: there is no such file"):
        recognizer.read(tmp_path / "scan_8.jpg")


@pytest.mark.parametrize("shape", [(1, 1), (4, 30_000), (30_000, 4), (40, 100, 4)])
def test_odd_images_are_read(recognizer, shape):
    assert 0 <= recognizer.read(np.full(shape, 255, np.uint8)).confidence <= 1


def test_latest_is_the_run_that_saved_last(run, recognizer, paths, tmp_path):
    shutil.copytree(run.folder, tmp_path / "runs/newest")
    latest = Recognizer.latest(tmp_path / "runs", device="cpu")
    assert latest.read(paths) == recognizer.read(paths) and latest.metrics == recognizer.metrics
    with pytest.raises(FileNotFoundError, match="no run with a best_model.pth"):
        Recognizer.latest(tmp_path)


def test_shipped_names_read_handwriting_they_were_not_trained_on(tmp_path):
    synthetic.generate(tmp_path / "set", train=0, validation=0, test=40)
    labels = read_labels(tmp_path / "set" / "test.csv")
    recognizer = Recognizer.pretrained("names")
    readings = recognizer.read([tmp_path / "set" / "test" / name for name in labels["FILENAME"]])
    assert cer(labels["IDENTITY"].tolist(), texts(readings)) < 0.2


@pytest.mark.parametrize("kind", ["slope of light", "squares", "all"])
def test_shipped_names_read_photos(kind, tmp_path):
    """Weights that had seen white paper only misread half of the letters on grey paper, three quarters on squares."""
    synthetic.generate(tmp_path / "set", train=0, validation=0, test=40)
    labels, chance = read_labels(tmp_path / "set" / "test.csv"), np.random.default_rng(0)
    photos = [photographed(to_grey(tmp_path / "set" / "test" / name), kind, chance) for name in labels["FILENAME"]]
    assert cer(labels["IDENTITY"].tolist(), texts(Recognizer.pretrained("names").read(photos))) < 0.25


def test_shipped_lines_know_mixed_case_and_accents():
    assert set("aàçéêAÉ0123456789 .,;'-?!") <= set(Recognizer.pretrained("lines").charset.characters)


def test_unknown_shipped_weights_are_refused():
    with pytest.raises(ValueError, match="no shipped weights are called 'digits'; there are: lines, names"):
        Recognizer.pretrained("digits")


def test_what_the_checkpoint_tells_about_itself(recognizer, run, tiny):
    assert recognizer.config == tiny().as_dict() and recognizer.metrics["validation_cer"] == run.best_cer
    assert recognizer.normalisation.height == 16 and not recognizer.model.training


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_batch_size_below_one_is_rejected(recognizer, paths, size):
    with pytest.raises(ValueError, match=f"batch_size must be an integer from 1, not {size}"):
        recognizer.read(paths, batch_size=size)


def test_bytes_files_and_tensors_are_single_images(recognizer, paths):
    expected = recognizer.read(paths[0])
    with open(paths[0], "rb") as file:
        assert recognizer.read(file) == expected
    assert recognizer.read(paths[0].read_bytes()) == expected
    assert recognizer.read(torch.from_numpy(np.array(Image.open(paths[0])))) == expected


def test_one_image_is_never_taken_for_a_sequence(recognizer, paths):
    """Letters of a path, or rows of an array, would each be an image."""
    expected = recognizer.read(paths[0])
    colours = np.array(Image.open(paths[0]).convert("RGB"))
    for image in (paths[0], str(paths[0]), paths[0].read_bytes(), colours, torch.from_numpy(colours)):
        assert list(recognizer.read_each(image)) == list(recognizer.try_read(image)) == [expected]
        assert len(recognizer.log_probs(image)) == 1
    (error,) = recognizer.try_read("nowhere.png")
    assert "nowhere.png: there is no such file" in str(error)


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


def test_find_images(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_images(tmp_path)] == ["a.JPG", "b.png"]
    assert find_images(tmp_path / "b.png") == [tmp_path / "b.png"]
    assert [path.name for path in find_images(f"{tmp_path}/*.png")] == ["b.png"]
    (tmp_path / "page 1").mkdir()
    (tmp_path / "page 1/c.png").touch()
    assert [path.name for path in find_images(tmp_path, recursive=True)] == ["a.JPG", "b.png", "c.png"]
    assert [path.name for path in find_images(f"{tmp_path}/**/*.png")] == ["b.png", "c.png"]
    for pattern in ("page 1/../*.png", "../page 1/../b.png", "b.png"):
        monkeypatch.chdir(tmp_path / "page 1" if pattern.startswith("..") else tmp_path)
        assert [path.name for path in find_images(pattern)] == ["b.png"]
    assert len(find_images(f"{tmp_path}/**")) == 4
    for nothing in (tmp_path / "c.png", f"{tmp_path}/*.gif", tmp_path / "nowhere", "a\0.png"):
        with pytest.raises(FileNotFoundError, match="no image there"):
            find_images(nothing)


def test_find_images_ignores_what_is_hidden(tmp_path):
    for name in ("scan.png", "._scan.png", ".thumbnails/scan.png", "page/.scan.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for found in (find_images(tmp_path), find_images(tmp_path, recursive=True), find_images(f"{tmp_path}/**/*.png")):
        assert found == [tmp_path / "scan.png"]
    assert find_images(f"{tmp_path}/.thumbnails/*.png") == [tmp_path / ".thumbnails/scan.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_find_images_follows_no_link_in_a_circle_and_loses_no_file(tmp_path):
    (tmp_path / "page.png").mkdir()
    (tmp_path / "page.png/scan.png").touch()
    for name, target in {"a": ".", "b": ".", "page.png/up": "..", "gone.png": "nowhere", "self.png": "self.png"}.items():
        (tmp_path / name).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.png")
    names = ["gone.png", "page.png/scan.png", "self.png"]
    for found in (find_images(tmp_path, recursive=True), find_images(f"{tmp_path}/**/*.png")):
        assert [path.relative_to(tmp_path).as_posix() for path in found] == names


def test_find_images_reports_a_folder_that_may_not_be_read(tmp_path, monkeypatch, caplog):
    for name in ("scan.png", "private/scan.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir, refused = os.scandir, {str(tmp_path / "private")}

    def guarded(folder):
        if str(folder) in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert find_images(tmp_path, recursive=True) == [tmp_path / "scan.png"]
    assert "private: skipped (Permission denied)" in caplog.text
    refused.add(str(tmp_path))
    with pytest.raises(PermissionError, match="Permission denied"):
        find_images(tmp_path)
