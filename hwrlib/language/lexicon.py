"""A list of known texts: the departments of France, the names in a register."""

from __future__ import annotations

import math
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language.base import IMPOSSIBLE, Language
from hwrlib.language.character_model import CharacterModel
from hwrlib.language.mixture import Mixture

VARIANTS = {"œ": "oe", "æ": "ae", "’": "'", "‘": "'", "‐": "-", "‑": "-", "–": "-", "\u00a0": " "}
SEPARATOR = "\n"  # between the texts in a file

Range = tuple[int, int, str]  # first and end of those texts in the sorted list that begin with the characters so far; these


class Lexicon(Language, kind="Lexicon"):
    """The texts of a list, each with a probability; all others together have the probability `escape`, by default none.

    Args:
        texts: the list, or texts with their frequencies. They are composed to NFC; surrounding space is removed.
        escape: probability that a text is not in the list; all characters are then equally likely. To predict such texts
            better, combine the list with a `CharacterModel` in a `Mixture`.
    Raises:
        ValueError: the list is empty, a text has a line break, or a frequency or the escape is out of range.
    """

    def __init__(self, texts: Iterable[str] | Mapping[str, float], *, escape: float = 0.0):
        weights: dict[str, float] = {}
        for text, weight in weighted(texts):
            text = unicodedata.normalize("NFC", text).strip()
            if SEPARATOR in text:
                raise ValueError(f"{text!r} has a line break; each text of a list is one line")
            weights[text] = weights.get(text, 0.0) + weight
        weights.pop("", None)
        if not weights:
            raise ValueError("a list without any text: nothing could be read with it")
        if not 0 <= escape < 1:
            raise ValueError(f"escape must be at least 0 and below 1, not {escape}")
        self.escape = escape
        self._texts = sorted(weights)
        before = accumulate((weights[text] for text in self._texts), initial=0.0)  # the sum of the weights before each text
        self._masses = array("d", before)
        self._characters = set().union(*self._texts)
        self._originals: dict[str, str] = {}  # the recogniser's spelling -> the list's, where they differ
        self.start: Range = (0, len(self._texts), "")

    def __len__(self) -> int:
        """Number of different texts."""
        return len(self._texts)

    def texts(self) -> list[str] | None:
        """The list, sorted; None if other texts are possible."""
        return None if self.escape else self._texts

    def original(self, text: str) -> str:
        """A text that the recogniser wrote, as it is spelled in the list: "Ardèche" for "ARDECHE"."""
        return self._originals.get(text, text)

    # Probabilities ---------------------------------------------------------------------------------------------------

    def advance(self, state: Range, character: str) -> tuple[float, Range]:
        """ln P(character | the characters so far), and the texts that are still possible."""
        first, last, prefix = state
        longer = prefix + character
        low = bisect_left(self._texts, longer, first, last)
        high = bisect_left(self._texts, prefix + chr(ord(character) + 1), low, last)
        if low == high:
            return IMPOSSIBLE, (low, low, longer)
        return math.log(self._mass(low, high) / self._mass(first, last)), (low, high, longer)

    def end(self, state: Range) -> float:
        """ln P(the text ends here | the characters so far)."""
        first, last, prefix = state
        if first == last or self._texts[first] != prefix:
            return IMPOSSIBLE
        return math.log(self._mass(first, first + 1) / self._mass(first, last))

    def _mass(self, first: int, last: int) -> float:
        return self._masses[last] - self._masses[first]

    # The recogniser's spelling ---------------------------------------------------------------------------------------

    def _adapt(self, charset: Charset) -> Language:
        """The list in the recogniser's spelling (see `respelled`); with an escape, a mixture with a uniform language.

        Raises:
            ValueError: a text has a character that cannot be written in any way.
        """
        lexicon = self
        if charset.missing("".join(self._characters)):
            weights, originals = respelled(dict(zip(self._texts, np.diff(self._masses).tolist())), charset)
            lexicon = Lexicon(weights)
            lexicon._originals = {written: self.original(text) for written, text in originals.items()}
        if not self.escape:
            return lexicon
        closed = Lexicon(dict(zip(lexicon._texts, np.diff(lexicon._masses).tolist())))
        closed._originals = lexicon._originals
        return Mixture([(1 - self.escape, closed), (self.escape, CharacterModel.uniform(charset))])

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The texts and their frequencies as 32-bit floats."""
        joined = SEPARATOR.join(self._texts).encode("utf-8")
        arrays = {"texts": np.frombuffer(joined, "<u1"), "weights": np.diff(self._masses).astype("<f4")}
        return {"escape": self.escape}, arrays

    @classmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Lexicon:
        """The inverse of `pack`."""
        texts = arrays["texts"].tobytes().decode("utf-8").split(SEPARATOR)
        if len(texts) != len(arrays["weights"]):
            raise ValueError(f"{len(texts)} texts, but {len(arrays['weights'])} frequencies")
        return cls(dict(zip(texts, arrays["weights"].tolist())), escape=header["escape"])


def weighted(texts: Iterable[str] | Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Texts with their frequencies, which are 1 if none are given.

    Raises:
        ValueError: a frequency is not above 0.
    """
    for text, weight in texts.items() if isinstance(texts, Mapping) else ((text, 1.0) for text in texts):
        if not (math.isfinite(weight) and weight > 0):
            raise ValueError(f"the frequency of {text!r} must be above 0, not {weight}")
        yield text, weight


def respelled(
    weights: Mapping[str, float], charset: Charset, *, skip: bool = False
) -> tuple[dict[str, float], dict[str, str]]:
    """Texts as a recogniser writes them: characters outside its charset become capitals, lose their accents, or both.

    Args:
        weights: texts and their frequencies; if several texts are written alike, their frequencies are added.
        charset: of the recogniser.
        skip: skip texts that cannot be written at all.
    Returns:
        The written texts with their frequencies, and for each of them the first text that is written so.
    Raises:
        ValueError: a text cannot be written, and `skip` is off.
    """
    table = {ord(character): _written(character, charset) for character in charset.missing("".join(weights))}
    never = {chr(code) for code, written in table.items() if written is None}
    written_weights: dict[str, float] = {}
    originals: dict[str, str] = {}
    for text, weight in weights.items():
        if unwritable := never.intersection(text):
            if skip:
                continue
            raise ValueError(f"{text!r} is in the list, but the recogniser cannot write {sorted(unwritable)}; take it out")
        written = text.translate(table)
        written_weights[written] = written_weights.get(written, 0.0) + weight
        originals.setdefault(written, text)
    return written_weights, originals


def _written(character: str, charset: Charset) -> str | None:
    """A form of a character that is in the charset: itself, capital, small, without accent; None if there is none."""
    variant = VARIANTS.get(character.lower(), character)
    plain = "".join(part for part in unicodedata.normalize("NFD", variant) if not unicodedata.combining(part))
    candidates = [form for spelled in (variant, plain) for form in (spelled, spelled.upper(), spelled.lower())]
    return next((form for form in candidates if not charset.missing(form)), None)
