"""hwrlib.synthetic: the rendered set is deterministic, its splits are disjoint, its labels and images plausible."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hwrlib.sets.labels import SPLITS
from hwrlib.synthetic import generate, glyphs, load_alphabets, make_hand, name_pools, plan, render_name, to_label
from hwrlib.synthetic.__main__ import main

COUNTS = {"train": 60, "validation": 10, "test": 20}
FEW = ["school-0", "school-1"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    generate(folder, **COUNTS)
    return folder


def test_layout(made):
    for split, count in COUNTS.items():
        rows = list(csv.DictReader(open(made / f"{split}.csv", encoding="utf-8", newline="")))
        assert len(rows) == count and list(rows[0]) == ["FILENAME", "IDENTITY"]
        assert sorted(row["FILENAME"] for row in rows) == sorted(p.name for p in (made / split).iterdir())
        for row in rows:
            assert row["IDENTITY"] and set(row["IDENTITY"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ '-")


def test_images_look_like_the_forms(made):
    inks = []
    for path in (made / "train").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.ndim == 2 and image.dtype == np.uint8
        assert 14 <= image.shape[0] <= 72 and image.shape[1] in (284, 324, 388)
        assert np.median(image) >= 250  # white paper
        inks.append((image < 128).mean())
        assert ((image > 60) & (image < 195)).mean() < 0.08  # nearly binary
    assert 0.01 < np.median(inks) < 0.08 and max(inks) < 0.2


def test_same_seed_same_bytes(made, tmp_path):
    generate(tmp_path / "again", **COUNTS)
    assert files_of(tmp_path / "again") == files_of(made)


def test_other_seed_other_images(made, tmp_path):
    generate(tmp_path / "other", **COUNTS, seed=1)
    assert files_of(tmp_path / "other")["train/TRAIN_00001.jpg"] != files_of(made)["train/TRAIN_00001.jpg"]


def test_splits_share_no_name():
    pools = name_pools(0)
    labels = {split: {to_label(text) for text in pool.texts} for split, pool in pools.items()}
    assert sum(map(len, labels.values())) == len(set.union(*labels.values()))
    assert all(len(p.texts) == len(p.probabilities) for p in pools.values())
    assert len(labels["train"]) > 9000 and len(labels["test"]) > 1000


def test_plans_share_no_label_and_no_hand():
    plans = {split: plan(split, 4000, seed=3) for split in SPLITS}
    for field in (lambda sample: to_label(sample.text), lambda sample: sample.hand):
        seen = [{field(sample) for sample in samples} for samples in plans.values()]
        assert sum(map(len, seen)) == len(set.union(*seen))
    assert any("-" in sample.text for sample in plans["train"]) and any(" " in s.text for s in plans["train"])


def test_frequent_names_repeat_and_rare_ones_occur():
    texts = [sample.text for sample in plan("train", 6000)]
    assert 2000 < len(set(texts)) < 5900  # rare names occur, and frequent ones repeat
    assert max(texts.count(text) for text in set(texts[:500])) >= 4


def test_hands_differ_and_are_reproducible():
    fonts = load_alphabets(FEW)
    first, again, other = (make_hand(np.random.default_rng([0, n]), fonts) for n in (1, 1, 2))
    shapes = [hand.letters["E"].points for hand in (first, again, other)]
    assert np.array_equal(*shapes[:2]) and first.pen == again.pen
    assert not np.array_equal(*shapes[1:]) and first.pen != other.pen
    images = [render_name("NOÉMIE", hand, np.random.default_rng(5)) for hand in (first, again)]
    assert np.array_equal(*images)


WRITABLE = ["I", "LE GOFF", "D'ARTAGNAN", "JEAN-PIERRE", "Zoë", "FRANÇOISE", "W" * 25, "ŒUVRARD"]


@pytest.mark.parametrize("text", WRITABLE)
def test_every_kind_of_name_is_written(text):
    fonts = load_alphabets(FEW)
    for number in range(12):
        rng = np.random.default_rng(number)
        image = render_name(text, make_hand(rng, fonts), rng)
        assert image.min() < 128


def test_other_characters_are_refused():
    hand = make_hand(np.random.default_rng(0), load_alphabets(FEW))
    with pytest.raises(ValueError, match=r"cannot write \['7'\]"):
        render_name("R7", hand, np.random.default_rng(0))


def test_labels_drop_accents():
    assert to_label("Noël") == "NOEL" and to_label("François d’Œ") == "FRANCOIS D'OE"


def test_reduced_font_list(tmp_path):
    generate(tmp_path / "few", train=5, validation=0, test=0, alphabets=FEW)
    assert json.loads((tmp_path / "few/synthetic.json").read_text())["alphabets"] == FEW
    assert len(list((tmp_path / "few/train").iterdir())) == 5


def test_missing_fonts_are_named_and_the_rest_is_used(monkeypatch):
    with pytest.raises(ValueError, match="at least one alphabet"):
        load_alphabets([])
    with pytest.raises(ValueError, match="unknown alphabet 'comic'"):
        load_alphabets(["comic"])
    monkeypatch.setitem(glyphs.FONTS, "gone", ("fontpkg_gone", "Gone.ttf"))
    assert "gone" not in glyphs.available_alphabets()
    with pytest.raises(ModuleNotFoundError, match="fontpkg_gone"):
        load_alphabets(["gone"])
    monkeypatch.setattr(glyphs, "FONTS", {})
    assert list(load_alphabets()) == list(glyphs.SCHOOL)  # no font package is installed


def test_complete_set_is_reused_or_replaced(tmp_path):
    few = {"train": 3, "validation": 1, "test": 1, "alphabets": FEW}
    out = tmp_path / "set"
    assert generate(out, **few)
    stamp = (out / "synthetic.json").stat().st_mtime_ns
    assert not generate(out, **few)
    assert (out / "synthetic.json").stat().st_mtime_ns == stamp
    assert generate(out, **few | {"train": 4})
    assert len(list((out / "train").iterdir())) == 4
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["set"]  # no temporary folder is left


def test_folder_of_other_files_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not a synthetic data set"):
        generate(tmp_path, train=1, validation=0, test=0, alphabets=FEW)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_thinning_keeps_lines_and_dots():
    ink = np.zeros((40, 40), np.uint8)
    ink[5:35, 10:15] = 1
    ink[20:22, 30:32] = 1
    skeleton = glyphs.thin(ink)
    assert (skeleton[8:32, :20].sum(axis=1) == 1).all()
    assert skeleton[:, 25:].sum() >= 1
    assert cv2.connectedComponents(skeleton)[0] == 3  # the line, the dot, the paper


def test_accents_are_written():
    hand = replace(make_hand(np.random.default_rng(0), load_alphabets(FEW)), title=False, fading=0)
    plain, accented = (
        render_name("ELEVE", replace(hand, accents=accents), np.random.default_rng(1)) for accents in (False, True)
    )
    assert np.array_equal(plain, accented)
    accented = render_name("ÉLÈVE", replace(hand, accents=True), np.random.default_rng(1))
    assert (accented < 128).sum() > (plain < 128).sum()


def test_every_alphabet_is_complete():
    for name, alphabet in load_alphabets().items():
        for character in glyphs.CHARACTERS:
            glyph = alphabet[character]
            assert sum(glyph.lengths) == len(glyph.points) > 1, (name, character)
            assert np.isfinite(glyph.points).all() and 0 < glyph.advance < 2
        assert 0.95 < np.ptp(alphabet["H"].points[:, 1]) < 1.05, name


def test_command_line(tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "set"), "--train", "2", "--validation", "1", "--test", "1", "--seed", "5"]
    assert main(arguments) == 0 and "set: 4 images rendered in" in capsys.readouterr().out
    assert main(arguments) == 0 and "set: 4 images already there" in capsys.readouterr().out
    generate(tmp_path / "same", train=2, validation=1, test=1, seed=5)
    assert files_of(tmp_path / "set") == files_of(tmp_path / "same")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    assert main(["--out", str(tmp_path / "mine")]) == 2
    assert "mine exists and is not a synthetic data set" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--train=-1", "--test=999999999999", "--seed=-1"])
def test_numbers_out_of_range_are_named_before_anything_is_rendered(tmp_path, capsys, option):
    assert main(["--out", str(tmp_path / "new"), option]) == 2
    assert option.strip("-") in capsys.readouterr().err and not (tmp_path / "new").exists()
