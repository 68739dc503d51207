"""A character n-gram: how probable each next character of a text is after the few before it.

The n-grams form a trie. Its nodes are numbered level by level, so that the children of a node are neighbours: node 0 is the
empty context, then come the single characters, the pairs, and so on. What was never seen after a context has the
probability after the shorter context without its oldest character, times the longer one's back-off (Katz, 1987). A query
takes about a microsecond, a node 21 bytes.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language import kneser_ney
from hwrlib.language.base import EDGE, Language
from hwrlib.language.kneser_ney import START
from hwrlib.language.trie import ROOT, as_array

MAX_ORDER = 20
LOWEST = -99 * math.log(10)  # ln of a probability, what n-gram formats write for 0


class Perplexity(NamedTuple):
    """How well a model predicts texts."""

    bits: float  # per character, the ends of the texts included: log2 of the perplexity
    characters: int  # predicted, the ends of the texts included
    unknown: Counter[str]  # characters outside the charset, which were skipped


class CharacterModel(Language, kind="CharacterModel"):
    """An n-gram with back-off over the characters of a charset; make one with `fit` or `load`.

    Args:
        charset: the characters that it predicts, besides the end of a text.
        classes: (nodes,) the last character of every n-gram, as a class of the charset; 0 for the edge of a text.
        children: (nodes,) number of children of every node.
        log_probs: (nodes,) ln P(last character | the characters before it).
        backoffs: (nodes,) natural logarithm of the back-off; 0 for a node without children.
    Attributes:
        unknown: characters outside the charset that `fit` skipped, and their number.
    Raises:
        ValueError: the arrays do not describe a trie of this charset.
    """

    start = START

    def __init__(
        self, charset: Charset, classes: np.ndarray, children: np.ndarray, log_probs: np.ndarray, backoffs: np.ndarray
    ):
        self.charset, self.unknown = charset, Counter()
        classes, children = np.asarray(classes, np.int64), np.asarray(children, np.int64)
        _check_trie(len(charset), classes, children, log_probs, backoffs)
        code_points = np.array([ord(label) for label in (EDGE, *charset.characters)], "<u4")[classes]
        self._labels = code_points.tobytes().decode("utf-32-le", "surrogatepass")  # one character for each node
        firsts = np.concatenate([[1], 1 + np.cumsum(children)])  # (nodes + 1,)
        self._firsts, self._suffixes = as_array("i", firsts), as_array("i", _suffixes(classes, children, len(charset)))
        self._log_probs, self._backoffs = as_array("f", log_probs), as_array("f", backoffs)

    def __len__(self) -> int:
        """Number of n-grams of all orders."""
        return len(self._labels) - 1

    # Making one ------------------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        weights: Sequence[float] | None = None,
        charset: Charset | None = None,
        order: int = 6,
        prune: float = 0.0,
    ) -> CharacterModel:
        """Estimate a model from texts, with modified Kneser-Ney smoothing (`hwrlib/language/kneser_ney.py`).

        Args:
            texts: lines, words or names; composed to NFC. A line break ends a text.
            weights: how often each text counts, all once by default: frequencies of names, for instance.
            charset: of the recogniser, by default the characters of the texts. Characters outside it are skipped and counted
                in `unknown`; n-grams across them are not counted.
            order: the characters of an n-gram, the predicted one included.
            prune: n-grams of three or more characters that occur less often than this are dropped.
        Raises:
            ValueError: the texts hold no character of the charset, or an argument is out of range.
        """
        texts = [unicodedata.normalize("NFC", text) for text in texts]
        weights = np.ones(len(texts)) if weights is None else np.asarray(weights, float)
        _check_fit(texts, weights, order, prune)
        charset = charset or Charset.from_texts(text.replace(EDGE, "") for text in texts)
        stream = EDGE + EDGE.join(texts) + EDGE
        classes = _encode(stream, charset)
        unknown = Counter(stream[place] for place in np.flatnonzero(classes < 0).tolist())
        if not (classes > 0).any():
            raise ValueError(f"no character of {charset} in {len(texts)} texts: nothing to learn")
        repeated = np.concatenate([[0.0], np.repeat(weights, [len(text) + 1 for text in texts])])
        trie = kneser_ney.count(classes, repeated, num_classes=len(charset), order=order)
        model = cls._from_counts(charset, trie, prune)
        model.unknown = unknown
        return model

    @classmethod
    def _from_counts(cls, charset: Charset, trie: kneser_ney.Counts, prune: float) -> CharacterModel:
        children = np.bincount(trie.parents[1:], minlength=len(trie.parents))
        suffixes = _suffixes(trie.classes, children, len(charset))
        probs, backoffs, kept = kneser_ney.estimate(trie, suffixes, prune=prune)
        children = np.bincount(trie.parents[1:][kept[1:]], minlength=len(kept))
        with np.errstate(divide="ignore"):
            log_probs, backoffs = np.maximum(np.log(probs), LOWEST), np.maximum(np.log(backoffs), LOWEST)
        backoffs[children == 0] = 0.0
        return cls(charset, *(column[kept] for column in (trie.classes, children, log_probs, backoffs)))

    @classmethod
    def uniform(cls, charset: Charset) -> CharacterModel:
        """All characters, and the end of the text, equally likely after any others."""
        size = len(charset)
        log_probs = np.full(1 + size, -math.log(size))
        return cls(charset, np.r_[0, :size], np.r_[size, np.zeros(size)], log_probs, np.zeros(1 + size))

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The charset and, for every node, its class, its children, its probability and its back-off: 8 bytes."""
        arrays = {
            "classes": _encode(self._labels, self.charset).astype("<u2"),
            "children": np.diff(self._firsts).astype("<u2"),
            "log_probs": np.array(self._log_probs).astype("<f2"),
            "backoffs": np.array(self._backoffs).astype("<f2"),
        }
        return {"characters": self.charset.characters}, arrays

    @classmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> CharacterModel:
        """What `pack` was called on, its logarithms rounded to 16 bits."""
        return cls(Charset(header["characters"]), *(arrays[key] for key in ("classes", "children", "log_probs", "backoffs")))

    # Asking it -------------------------------------------------------------------------------------------------------

    def advance(self, state: int, character: str) -> tuple[float, int]:
        """ln P(character | the characters so far), and the node of the longest n-gram that ends with it.

        Raises:
            ValueError: the character is outside the charset.
        """
        log_prob, find, firsts = 0.0, self._labels.find, self._firsts
        while (child := find(character, firsts[state], firsts[state + 1])) < 0:
            if state == ROOT:
                raise ValueError(f"{character!r} is outside the language model's charset; its characters: {self.charset}")
            log_prob += self._backoffs[state]
            state = self._suffixes[state]
        return log_prob + self._log_probs[child], child

    def end(self, state: int) -> float:
        """ln P(the text ends here | the characters so far)."""
        return self.advance(state, EDGE)[0]

    def characters(self) -> str | None:
        """Those of its charset."""
        return self.charset.characters

    def _adapt(self, charset: Charset) -> CharacterModel:
        """The model itself, if it is of this charset.

        Raises:
            ValueError: it is of another one.
        """
        if charset != self.charset:
            lacks, more = self.charset.missing(charset.characters), charset.missing(self.charset.characters)
            raise ValueError(
                f"a language model of another charset: it lacks {lacks} and has {more} besides; "
                "fit it with charset=recognizer.charset"
            )
        return self

    def perplexity(self, texts: Iterable[str]) -> Perplexity:
        """How well the model predicts texts that it was not fitted to: log2 of the perplexity per character.

        Raises:
            ValueError: there is nothing to predict.
        """
        total, predicted, unknown = 0.0, 0, Counter()
        for text in texts:
            state = self.start
            for character in unicodedata.normalize("NFC", text):
                if self.charset.missing(character):
                    unknown[character] += 1
                    state = ROOT  # what stood before it says nothing about what follows
                    continue
                log_prob, state = self.advance(state, character)
                total, predicted = total + log_prob, predicted + 1
            total, predicted = total + self.end(state), predicted + 1
        if not predicted:
            raise ValueError("no texts to predict")
        return Perplexity(-total / predicted / math.log(2), predicted, unknown)


# Parts ---------------------------------------------------------------------------------------------------------------


def _encode(text: str, charset: Charset) -> np.ndarray:
    """(length,) class of each character: 0 for an edge, -1 for one outside the charset."""
    code_points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    table = np.full(0x110000, -1, np.int64)
    table[[ord(label) for label in (EDGE, *charset.characters)]] = np.arange(len(charset))
    return table[code_points]


def _suffixes(classes: np.ndarray, children: np.ndarray, num_classes: int) -> np.ndarray:
    """(nodes,) the longest n-gram of the trie that is the end of each n-gram, itself excluded.

    Example: for "abc", with "bc" and "c" in the trie, it is the node of "bc"; without "bc", that of "c"; without both, the
    root. It is a child of the suffix of the parent "ab", or of that one's suffix, and so on: `wanted` holds the node whose
    child is looked for, `waiting` the n-grams for which none was found so far. A level needs only the levels above it.
    """
    parents = np.concatenate([[ROOT], np.repeat(np.arange(len(children)), children)])
    keys = parents * num_classes + classes  # increasing, but for the root's
    keys[ROOT] = -1
    suffixes, firsts = np.full(len(classes), ROOT), np.concatenate([[1], 1 + np.cumsum(children)])
    first, last = firsts[1], firsts[1 + num_classes]  # the nodes of a level; the suffix of a single character is the root
    while first < last:
        wanted, waiting = suffixes[parents[first:last]], np.arange(last - first)
        while len(waiting):
            found = np.searchsorted(keys, wanted[waiting] * num_classes + classes[first:last][waiting])
            found = np.minimum(found, len(keys) - 1)
            there = keys[found] == wanted[waiting] * num_classes + classes[first:last][waiting]
            suffixes[first + waiting[there]] = found[there]
            waiting = waiting[~there]
            wanted[waiting] = suffixes[wanted[waiting]]
        first, last = last, firsts[last]
    return suffixes


def _check_fit(texts: Sequence[str], weights: np.ndarray, order: int, prune: float) -> None:
    if weights.shape != (len(texts),) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"weights must be {len(texts)} numbers above 0, one for each text")
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order must be 1 ... {MAX_ORDER}, not {order}")
    if not prune >= 0:
        raise ValueError(f"prune must be at least 0, not {prune}")


def _check_trie(
    num_classes: int, classes: np.ndarray, children: np.ndarray, log_probs: np.ndarray, backoffs: np.ndarray
) -> None:
    size = len(classes)
    if not (size == len(children) == len(log_probs) == len(backoffs) == children.sum() + 1 and children.min() >= 0):
        raise ValueError(f"{size} n-grams with {children.sum()} children are not a trie")
    parents = np.repeat(np.arange(size), children)  # of the nodes 1, 2, ...
    if (parents > np.arange(size - 1)).any() or (np.diff(parents * num_classes + classes[1:]) <= 0).any():
        raise ValueError("the n-grams are not sorted")
    if children[ROOT] != num_classes or not 0 <= classes.min() <= classes.max() < num_classes:
        raise ValueError(f"the n-grams are not of the {num_classes - 1} characters of the charset")
    if not (np.isfinite(log_probs).all() and np.isfinite(backoffs).all() and np.max(log_probs) <= 1e-3):
        raise ValueError("there are probabilities that are none")
