"""hwrlib.language.storage: files of languages, also damaged ones."""

import json
import math
import zlib

import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.language import CharacterModel, Language, Lexicon, Mixture, storage

NAMES = ["ANNE", "ANNA", "ANNE", "HANNA", "LEA", "LEO", "LENA", "ELENA", "JEAN-LOUIS", "LE GALL", "NOE", "ZOE"]


AB = Charset("AB")


@pytest.fixture(scope="module")
def names() -> CharacterModel:
    return CharacterModel.fit(NAMES, order=4)


def test_a_saved_model_is_the_same_but_for_rounding(names, tmp_path):
    names.save(tmp_path / "names.lm")
    loaded = CharacterModel.load(tmp_path / "names.lm")
    assert len(loaded) == len(names) and loaded.charset == names.charset
    for text in (*NAMES, "", "ZZZ", "LE-LE"):
        assert loaded.log_prob(text) == pytest.approx(names.log_prob(text), abs=0.01 * (1 + len(text)))


def test_lists_and_mixtures_are_saved_too(names, tmp_path):
    mixture = Mixture([(0.2, names), (0.8, Lexicon({"Ardèche": 3, "Ain": 1}))])
    mixture.save(tmp_path / "mixture.lm")
    loaded = Language.load(tmp_path / "mixture.lm")
    assert isinstance(loaded, Mixture) and [weight for weight, _ in loaded.parts] == [0.2, 0.8]
    assert loaded.parts[1][1].log_prob("Ardèche") == pytest.approx(math.log(0.75))
    with pytest.raises(ValueError, match="holds a Mixture, not a CharacterModel"):
        CharacterModel.load(tmp_path / "mixture.lm")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CharacterModel.load(tmp_path / "nowhere")


def test_damaged_files_are_rejected(names, tmp_path):
    path = tmp_path / "names.lm"
    names.save(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for length in (0, 5, len(storage.MAGIC), 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="names.lm"):
            CharacterModel.load(path)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            CharacterModel.load(path).log_prob("LEA")
        except ValueError:
            pass


def write_raw(path, header: object, payload: bytes = b"") -> None:
    path.write_bytes(storage.MAGIC + json.dumps(header).encode() + b"\n" + zlib.compress(payload))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"kind": "CharacterModel"},
        {"kind": "CharacterModel", "arrays": []},
        {"kind": "os", "arrays": []},
        {"kind": "CharacterModel", "characters": "AA", "arrays": []},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "|O", 1]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", 10**18]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", -1]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", 1e3]]},
        {"kind": "Mixture", "parts": [{"kind": "Mixture", "weight": 1, "parts": []}], "arrays": []},
        {"kind": "Lexicon", "escape": 0, "arrays": []},
    ],
)
def test_hostile_headers_are_rejected(header, tmp_path):
    write_raw(tmp_path / "hostile.lm", header)
    with pytest.raises(ValueError, match="hostile.lm"):
        Language.load(tmp_path / "hostile.lm")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.lm"
    write_raw(path, {"kind": "Lexicon", "escape": 0, "arrays": [["texts", "<u1", 10]]}, bytes(10**8))
    with pytest.raises(ValueError, match="do not have 10 bytes"):
        Language.load(path)
    write_raw(path, {"kind": "Lexicon", "escape": 0, "arrays": [["texts", "<u1", 10**9]]}, bytes(10**6))
    with pytest.raises(ValueError, match="are said to be in"):
        Language.load(path)


@pytest.mark.parametrize(
    ("classes", "children", "log_probs"),
    [
        ([0, 0, 1, 2, 9], [3, 0, 1, 0, 0], [0, -1, -1, -1, -1]),  # a class that the charset lacks
        ([0, 0, 1, 2, 2, 1], [3, 0, 2, 0, 0, 0], [0, -1, -1, -1, -1, -1]),  # not sorted
        ([0, 0, 1], [2, 0, 0], [0, -1, -1]),  # a character is missing
        ([0, 0, 1, 2], [3, 0, 0, 0], [0, -1, math.nan, -1]),
        ([0, 0, 1, 2], [3, 0, 0, 0], [0, -1, 5, -1]),
        ([0, 0, 1, 2, 1], [3, 0, 0, 0, 1], [0, -1, -1, -1, -1]),  # its own parent
        ([0, 0, 1, 2], [3, 0, 0], [0, -1, -1, -1]),
        ([], [], []),
    ],
)
def test_arrays_that_are_not_a_trie_are_rejected(classes, children, log_probs):
    with pytest.raises(ValueError, match="n-grams|probabilities"):
        CharacterModel(AB, *(np.array(a) for a in (classes, children, log_probs, np.zeros(len(classes)))))
