"""A list of known words beside a language that can spell any other: a vocabulary, or a few hot words.

Each word of a text is one of the list with probability `share`, else one of the language:

    P(word) = (1 - share) x P(word | language) + share x P(word | list).

A word is a run of characters between gaps: white space and common punctuation. The language alone predicts where words
begin and end, and the gaps between them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language.base import EDGE, IMPOSSIBLE, Language, State, log_add, pack_part, unpack_part
from hwrlib.language.lexicon import respelled, weighted
from hwrlib.language.trie import ROOT, Trie

CAPITALISED = 0.15  # fraction of a word's occurrences that begin with a capital: at the start of a sentence, in a heading
GAPS = " '-,.;:!?()"  # between words, besides other white space
NO_WORD = -1  # instead of a node of the trie: no word of the list begins with the letters so far
MAX_CACHED = 100_000  # contexts whose probability of a gap is cached
MIN_BEGIN = 1e-6  # lowest probability that a word begins; below it, only rounding errors would be left


class WordState(NamedTuple):
    """A place in a text: both explanations of the current word's letters, each multiplied by its prior probability."""

    inner: State  # of the language
    spelled: float  # ln ((1 - share) x P(letters | language))
    listed: float  # ln (share x P(letters | list)); minus infinity if no word of the list begins with them
    node: int  # of these letters in the list's trie: `ROOT` before the first letter, or `NO_WORD`


class Words(Language, kind="Words"):
    """A language in which each word is one of a list with probability `share`.

    For every letter of a word, `advance` extends both explanations, and the letter's probability is the quotient of the
    sums after and before. Example: the list is "la" and "le", `share` is 0.5, and after any character the language gives
    0.2 to each of a, e, l, the space, and the end of the text, hence 0.4 to a gap:

        text       spelled             listed                        P(character | characters before it)
                   0.5                 0.5                           (sum: 1)
        "l"        0.5 x 0.2 = 0.1     0.5 x (1 - 0.4) x 1 = 0.3     (0.1 + 0.3) / 1 = 0.4
        "la"       0.1 x 0.2 = 0.02    0.3 x 0.5 = 0.15              (0.02 + 0.15) / 0.4 = 0.425
        "la "      0.02 x 0.2 = 0.004  0.15 x 0.2 / 0.4 = 0.075      (0.004 + 0.075) / 0.17 = 0.465; then both start again
        "ll"       0.1 x 0.2 = 0.02    0: no word begins with "ll"   0.02 / 0.4 = 0.05; then the language alone

    The list predicts letters only. So its first letter is multiplied by the language's probability that a word begins
    here, and the gap after its last one by the language's probability of this gap among all gaps.

    Args:
        words: the list, or words with their frequencies; a text of several words, such as "Le Gall", adds each of them. A
            word without capitals may also begin with one. A finished `Trie` is used as it is.
        language: predicts all other words, and the gaps between words.
        share: probability that a word is one of the list, between 0 and 1.
    Raises:
        ValueError: the list is empty, or a frequency or the share is out of range.
    """

    def __init__(self, words: Iterable[str] | Mapping[str, float] | Trie, language: Language, *, share: float = 0.1):
        if not (isinstance(share, (int, float)) and 0 < share < 1):
            raise ValueError(f"share must be between 0 and 1, not {share}")
        self.trie = words if isinstance(words, Trie) else Trie.of(_frequencies(words))
        self.language, self.share = language, share
        self._gaps = "".join(filter(is_gap, language.characters() or GAPS))  # no set: sums in the same order everywhere
        self._gap_cache: dict[State, float] = {}
        self.start = self._before_word(language.start)

    def with_share(self, share: float) -> Words:
        """The same list and language with another share."""
        return Words(self.trie, self.language, share=share)

    # Probabilities ---------------------------------------------------------------------------------------------------

    def advance(self, state: WordState, character: str) -> tuple[float, WordState]:
        """ln P(character | the characters so far), and the state after it."""
        inner, spelled, listed, node = state
        log_prob, inner_ahead = self.language.advance(inner, character)
        if character in self._gaps:
            return self._leave_word(state, character, log_prob), self._before_word(inner_ahead)
        if node == NO_WORD:
            return log_prob, _unlisted(inner_ahead)
        before = log_add(spelled, listed)
        child = self.trie.child(node, character)
        if child is None:
            return spelled + log_prob - before, _unlisted(inner_ahead)
        if node == ROOT:
            listed += math.log(max(1 - math.exp(self._log_gap(inner)), MIN_BEGIN))  # ln P(a word begins here)
        spelled, listed = spelled + log_prob, listed + self.trie.log_probs[child]
        return log_add(spelled, listed) - before, WordState(inner_ahead, spelled, listed, child)

    def end(self, state: WordState) -> float:
        """ln P(the text ends here | the characters so far)."""
        return self._leave_word(state, EDGE, self.language.end(state.inner))

    def _before_word(self, inner: State) -> WordState:
        return WordState(inner, math.log(1 - self.share), math.log(self.share), ROOT)

    def _leave_word(self, state: WordState, gap: str, log_prob: float) -> float:
        """ln P(a gap, or the end | the characters so far); `log_prob` is that of the language."""
        inner, spelled, listed, node = state
        if node in (NO_WORD, ROOT):
            return log_prob
        before = log_add(spelled, listed)
        whole = self.trie.child(node, EDGE)
        if whole is None:
            return spelled + log_prob - before
        log_follows = log_prob - self._log_gap(inner)  # ln P(this gap | any gap)
        return log_add(spelled + log_prob, listed + self.trie.log_probs[whole] + log_follows) - before

    def _log_gap(self, inner: State) -> float:
        """ln P(any gap, or the end | the characters so far), by the language."""
        if (total := self._gap_cache.get(inner)) is None:
            if len(self._gap_cache) >= MAX_CACHED:
                self._gap_cache.clear()
            total = self.language.end(inner)
            for gap in self._gaps:
                total = log_add(total, self.language.advance(inner, gap)[0])
            total = self._gap_cache[inner] = min(total, 0.0)
        return total

    # The recogniser's spelling, and files ----------------------------------------------------------------------------

    def characters(self) -> str | None:
        """Those of the language."""
        return self.language.characters()

    def original(self, text: str) -> str:
        """As the language spells it."""
        return self.language.original(text)

    def _adapt(self, charset: Charset) -> Words:
        """The list as a recogniser writes it (see `lexicon.respelled`), without the words that it cannot write.

        Raises:
            ValueError: no word is left, or the language belongs to another charset.
        """
        language, trie = self.language.adapted_to(charset), self.trie
        if charset.missing(trie.characters()):
            written, _ = respelled(trie.texts(), charset, skip=True)
            if not written:
                raise ValueError(f"no word of the list can be written with {charset}; fit the list to the recogniser")
            trie = Trie.of(written)
        if language is self.language and trie is self.trie:
            return self
        return Words(trie, language, share=self.share)

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The share, the list's trie, and the language."""
        header, arrays = pack_part("language", self.language)
        return {"share": self.share, **header}, {**self.trie.pack(), **arrays}

    @classmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Words:
        """The inverse of `pack`."""
        return cls(Trie.unpack(arrays), unpack_part("language", header, arrays), share=header["share"])


def _unlisted(inner: State) -> WordState:
    """Within a word that is not of the list."""
    return WordState(inner, 0.0, IMPOSSIBLE, NO_WORD)


def _frequencies(words: Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    """Every single word, as it may be written, and its frequency."""
    frequencies: dict[str, float] = {}
    for text, weight in weighted(words):
        for word in split_words(text):
            for form, fraction in _forms(word):
                frequencies[form] = frequencies.get(form, 0.0) + weight * fraction
    if not frequencies:
        raise ValueError("a list without any word: nothing could be read with it")
    return frequencies


def is_gap(character: str) -> bool:
    """True if a character separates words."""
    return character in GAPS or character.isspace() or ord(character) < ord(" ")


def split_words(text: str) -> list[str]:
    """The words of a text, composed to NFC."""
    runs = groupby(unicodedata.normalize("NFC", text), is_gap)
    return ["".join(run) for gap, run in runs if not gap]


def _forms(word: str) -> list[tuple[str, float]]:
    """The spellings of a word, each with its fraction of the occurrences."""
    capital = word[0].upper() + word[1:]
    if len(capital) != len(word) or word != word.lower() or capital == word:
        return [(word, 1.0)]
    return [(word, 1 - CAPITALISED), (capital, CAPITALISED)]
