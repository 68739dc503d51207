"""Words that a text is likely to hold, beside a language that can spell any other: a vocabulary, or a few hot words.

Each word of a text is, with probability `share`, one of a list. Both explanations are followed letter by letter, as a
mixture whose weights start afresh with every word:

    P(word) = (1 - share) x P(word | language) + share x P(word | list).

A word is a run of characters between gaps: white space and the commonest punctuation. Where words begin and end, and what
stands between them, is left to the language.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language.base import EDGE, IMPOSSIBLE, Language, State, log_add, pack_part, unpack_part
from hwrlib.language.lexicon import respelled
from hwrlib.language.trie import ROOT, Trie

CAPITALISED = 0.15  # fraction of a word's occurrences that begin with a capital: at the start of a sentence, in a heading
GAPS = " '-,.;:!?()"  # between words, beside other white space
NO_WORD = -1  # a node: the letters so far begin no word of the list
REMEMBERED = 100_000  # contexts whose probability of a gap is kept
RARE = 1e-6  # least probability that a word begins; below it, rounded logarithms leave nothing to tell

# Of the language; ln P(letters of this word) as it spells them, and as a word of the list; the node of these letters.
WordState = tuple[State, float, float, int]


class Words(Language):
    """A language in which each word is one of a list with probability `share`.

    Args:
        words: the list, or words with their frequencies; what has several words, as "Le Gall", stands for each of them. A
            word without capitals may also begin with one.
        language: of all other words, and of what stands between words.
        share: probability that a word is one of the list, between 0 and 1.
    Raises:
        ValueError: the list is empty, or a frequency or the share is out of range.
    """

    def __init__(self, words: Iterable[str] | Mapping[str, float], language: Language, *, share: float = 0.1):
        frequencies: dict[str, float] = {}
        for text, weight in words.items() if isinstance(words, Mapping) else ((text, 1.0) for text in words):
            if not (math.isfinite(weight) and weight > 0):
                raise ValueError(f"the frequency of {text!r} must be above 0, not {weight}")
            for word in split_words(text):
                for form, fraction in _forms(word):
                    frequencies[form] = frequencies.get(form, 0.0) + weight * fraction
        if not frequencies:
            raise ValueError("a list without any word: nothing could be read with it")
        self._set(Trie.of(frequencies), language, share)

    def with_share(self, share: float) -> Words:
        """The same list and language with another share."""
        words = Words.__new__(Words)
        words._set(self.trie, self.language, share)
        return words

    def _set(self, trie: Trie, language: Language, share: float) -> None:
        if not (isinstance(share, (int, float)) and 0 < share < 1):
            raise ValueError(f"share must be between 0 and 1, not {share}")
        self.trie, self.language, self.share = trie, language, share
        self._fresh = (math.log(1 - share), math.log(share), ROOT)
        self._gaps = "".join(filter(is_gap, language.characters() or GAPS))  # no set: sums in the same order everywhere
        self._gap_log_probs: dict[State, float] = {}
        self.start: WordState = (language.start, *self._fresh)

    # Asking it -------------------------------------------------------------------------------------------------------

    def advance(self, state: WordState, character: str) -> tuple[float, WordState]:
        """ln P(character | the characters so far), and what the language and the list think of them."""
        inner, spelled, listed, node = state
        log_prob, ahead = self.language.advance(inner, character)
        if character in self._gaps:
            return self._after_word(state, character, log_prob), (ahead, *self._fresh)
        if node == NO_WORD:
            return log_prob, (ahead, 0.0, IMPOSSIBLE, NO_WORD)
        total = log_add(spelled, listed)  # 0 where a word begins
        if node == ROOT:
            listed += math.log(max(1 - math.exp(self._gap(inner)), RARE))  # ln P(a word begins here)
        child = self.trie.child(node, character)
        if child is None:
            return spelled + log_prob - total, (ahead, 0.0, IMPOSSIBLE, NO_WORD)
        spelled, listed = spelled + log_prob, listed + self.trie.log_probs[child]
        return log_add(spelled, listed) - total, (ahead, spelled, listed, child)

    def end(self, state: WordState) -> float:
        """ln P(the text ends here | the characters so far)."""
        return self._after_word(state, EDGE, self.language.end(state[0]))

    def _after_word(self, state: WordState, character: str, log_prob: float) -> float:
        """ln P(a gap, or the end | the characters so far), of which the language says `log_prob`."""
        inner, spelled, listed, node = state
        if node in (NO_WORD, ROOT):
            return log_prob
        total = log_add(spelled, listed)
        whole = self.trie.child(node, EDGE)
        if whole is None:
            return spelled + log_prob - total
        follows = log_prob - self._gap(inner)  # ln P(this character | the word ends here)
        return log_add(spelled + log_prob, listed + self.trie.log_probs[whole] + follows) - total

    def _gap(self, inner: State) -> float:
        """ln P(any gap, or the end | the characters so far), by the language."""
        if (known := self._gap_log_probs.get(inner)) is None:
            if len(self._gap_log_probs) >= REMEMBERED:
                self._gap_log_probs.clear()
            known = self.language.end(inner)
            for character in self._gaps:
                known = log_add(known, self.language.advance(inner, character)[0])
            known = self._gap_log_probs[inner] = min(known, 0.0)
        return known

    def characters(self) -> str | None:
        """Those of the language."""
        return self.language.characters()

    # The recogniser's spelling, and files -----------------------------------------------------------------------------

    def _adapt(self, charset: Charset) -> Words:
        """The list as a recogniser writes it (see `lexicon.respelled`), without the words that it cannot write.

        Raises:
            ValueError: no word is left, or the language belongs to another charset.
        """
        language = self.language.adapted_to(charset)
        if not charset.missing(self.trie.characters()):
            if language is self.language:
                return self
            adapted = Words.__new__(Words)
            adapted._set(self.trie, language, self.share)
            return adapted
        written, _ = respelled(self.trie.texts(), charset, skip=True)
        if not written:
            raise ValueError(f"no word of the list can be written with {charset}; fit the list to the recogniser")
        adapted = Words.__new__(Words)
        adapted._set(Trie.of(written), language, self.share)
        return adapted

    def original(self, text: str) -> str:
        """As the language spells it."""
        return self.language.original(text)

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The share, the list's trie, and the language."""
        header, arrays = pack_part("language", self.language)
        return {"share": self.share, **header}, {**self.trie.pack(), **arrays}

    @classmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Words:
        """What `pack` was called on."""
        words = cls.__new__(cls)
        words._set(Trie.unpack(arrays), unpack_part("language", header, arrays), header["share"])
        return words


def is_gap(character: str) -> bool:
    """Whether a character stands between words."""
    return character in GAPS or character.isspace() or ord(character) < ord(" ")


def split_words(text: str) -> list[str]:
    """The words of a text, composed to NFC."""
    runs = groupby(unicodedata.normalize("NFC", text), is_gap)
    return ["".join(run) for gap, run in runs if not gap]


def _forms(word: str) -> list[tuple[str, float]]:
    """How a word may be written, and how often."""
    capital = word[0].upper() + word[1:]
    if len(capital) != len(word) or word != word.lower() or capital == word:
        return [(word, 1.0)]
    return [(word, 1 - CAPITALISED), (capital, CAPITALISED)]
