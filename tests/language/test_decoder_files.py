"""Files of decoders: saved and loaded, hostile and damaged ones."""

import json
import lzma
import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwrlib.language import Calibration, CharacterModel, Decoder, Language, Lexicon, Mixture, Words, storage
from hwrlib.language.beam import BEAM, BONUS, WEIGHT
from tests.language.examples import AB, DECODERS, NAMES, PAIRS, unsure_frames


@pytest.mark.parametrize("name", DECODERS)
def test_a_saved_decoder_reads_the_same(name, tmp_path):
    decoder, path = DECODERS[name], tmp_path / "own.lm"
    decoder.save(path)
    loaded = Decoder.load(path)
    assert replace(loaded, language=None) == replace(decoder, language=None)
    assert type(loaded.language) is type(decoder.language)
    log_probs, lengths = unsure_frames(9, 5, len(NAMES), seed=5, sharpness=3), np.full(5, 9)
    for old, new in zip(decoder.decode(log_probs, lengths, NAMES), loaded.decode(log_probs, lengths, NAMES)):
        assert old.text == new.text and new.confidence == pytest.approx(old.confidence, abs=0.01)
    loaded.save(tmp_path / "again.lm")
    assert (tmp_path / "again.lm").read_bytes() == path.read_bytes()


def test_words_within_a_mixture_within_words_are_saved(tmp_path):
    inner = Mixture([(1, Words({"AB": 2, "BAB": 1}, PAIRS, share=0.3)), (3, PAIRS)])
    Words(["AA"], inner, share=0.25).save(tmp_path / "nested.lm")
    loaded = Language.load(tmp_path / "nested.lm")
    assert loaded.share == 0.25 and loaded.language.parts[0][1].share == 0.3
    for text in ("AB", "AA BAB", "B B", ""):
        assert loaded.log_prob(text) == pytest.approx(Words(["AA"], inner, share=0.25).log_prob(text), abs=0.05)


def test_a_language_alone_is_a_decoder_with_the_usual_settings(tmp_path):
    PAIRS.save(tmp_path / "pairs.lm")
    loaded = Decoder.load(tmp_path / "pairs.lm")
    assert (loaded.beam, loaded.weight, loaded.bonus) == (BEAM, WEIGHT, BONUS)
    assert loaded.of_texts == Calibration() and isinstance(loaded.language, CharacterModel)
    with pytest.raises(FileNotFoundError, match="nowhere.lm: no such language model"):
        Decoder.load(tmp_path / "nowhere.lm")


def unpacked(path) -> tuple[dict, bytes]:
    """The header and the arrays of a file, as `storage` describes it."""
    line, _, packed = path.read_bytes()[len(storage.MAGIC) :].partition(b"\n")
    return json.loads(line), lzma.decompress(packed)


def write_packed(path, header: object, payload: bytes) -> None:
    path.write_bytes(storage.MAGIC + json.dumps(header).encode() + b"\n" + lzma.compress(payload))


WITHOUT = object()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("beam", 0),
        ("beam", 16.5),
        ("beam", "16"),
        ("beam", 10**400),
        ("beam", WITHOUT),
        ("weight", -1),
        ("weight", None),
        ("weight", math.nan),
        ("weight", 10**400),
        ("weight", WITHOUT),
        ("bonus", math.inf),
        ("bonus", [1]),
        ("of_texts", None),
        ("of_texts", {"temperature": 0, "shift": 0}),
        ("of_texts", {"temperature": 1, "shift": 0, "more": 1}),
        ("of_words", WITHOUT),
        ("language", None),
        ("language", "Words"),
        ("language", {}),
        ("language", {"kind": "Decoder"}),
        ("language", {"kind": "Nobody"}),
        ("language", {"kind": ["Words"]}),
        ("language.share", 0),
        ("language.share", "0.1"),
        ("language.share", WITHOUT),
        ("language.kind", "Lexicon"),
        ("language.kind", "CharacterModel"),
        ("language.kind", "Mixture"),
        ("language.language", {"kind": "os.system"}),
        ("language.language", WITHOUT),
        ("language.language.characters", " BA C"),
        ("language.language.characters", "AAB"),
        ("language.language.characters", 3),
        ("arrays", []),
        ("arrays", [["language.trie.labels", "<u2", 10**18]]),
        ("arrays", "arrays"),
    ],
)
def test_hostile_decoders_are_rejected(place, value, tmp_path):
    path = tmp_path / "hostile.lm"
    Decoder(Words(["AB", "BAB"], PAIRS, share=0.2)).save(path)
    header, payload = unpacked(path)
    *outer, last = place.split(".")
    part = header
    for name in outer:
        part = part[name]
    if value is WITHOUT:
        del part[last]
    else:
        part[last] = value
    if place == "language.kind" and value == "Mixture":
        part["weights"] = [1, 10**400]
    write_packed(path, header, payload)
    with pytest.raises(ValueError, match="hostile.lm"):
        Decoder.load(path)


@pytest.fixture(scope="module")
def decoder_files(tmp_path_factory) -> list:
    """A file of each kind of decoder, small."""
    folder = tmp_path_factory.mktemp("decoders")
    pairs = Lexicon({"AB": 2, "B A": 1})
    languages = [
        None,
        PAIRS,
        Words(["AB", "BA"], PAIRS),
        pairs,
        Mixture([(1, PAIRS), (2, pairs)]),
        Lexicon(["AB"], escape=0.1),
    ]
    for number, language in enumerate(languages):
        Decoder(language).save(folder / f"{number}.lm")
    return sorted(folder.iterdir())


def load_and_read(path) -> None:
    """A damaged file is rejected, or reads something."""
    try:
        lines = Decoder.load(path).decode(unsure_frames(4, 1, len(AB)), np.array([4]), AB)
    except ValueError:
        return
    assert 0 <= lines[0].confidence <= 1


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True, allow_subnormal=False), st.integers(0, 255)), min_size=1, max_size=4
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged logarithms overflow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 5), CHANGES, st.sampled_from(["bytes", "header", "arrays", "cut"]))
def test_damaged_decoders_are_rejected_or_read(decoder_files, tmp_path_factory, number, changes, part):
    def damaged(content: bytes) -> bytes:
        content = bytearray(content)
        for place, value in changes:
            content[int(place * len(content))] = value
        return bytes(content)

    path = tmp_path_factory.getbasetemp() / "damaged.lm"
    whole = decoder_files[number].read_bytes()
    header, payload = unpacked(decoder_files[number])
    if part == "bytes":
        path.write_bytes(damaged(whole))
    elif part == "cut":
        path.write_bytes(whole[: int(changes[0][0] * len(whole))])
    elif part == "arrays":
        write_packed(path, header, damaged(payload) if payload else b"")
    else:
        packed = b"\n" + zlib.compress(payload)
        path.write_bytes(storage.MAGIC + damaged(json.dumps(header).encode()) + packed)
    load_and_read(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.sampled_from(["", "AB", "Lexicon", "Decoder", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "0", "a"]), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 5), st.integers(0, 60), JSON)
def test_any_value_anywhere_in_the_header_is_rejected_or_read(decoder_files, tmp_path_factory, number, place, value):
    header, payload = unpacked(decoder_files[number])
    places = []

    def visit(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)):
                visit(part[key])

    visit(header)
    part, key = places[place % len(places)]
    part[key] = value
    path = tmp_path_factory.getbasetemp() / "header.lm"
    write_packed(path, header, payload)
    load_and_read(path)
