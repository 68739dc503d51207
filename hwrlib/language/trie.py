"""A list of texts as a trie: its nodes are their beginnings, each with the probability of its last character.

Nodes are numbered level by level, so that the children of a node are neighbours, in the order of their characters; a text
ends with the character `EDGE`. A million nodes take 13 MB and load in a fraction of a second.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import numpy as np

from hwrlib.language.base import EDGE

ROOT = 0  # the node of the empty beginning
MAX_LENGTH = 200  # characters of a text


class Trie:
    """Texts and their probabilities; made by `of` or `unpack`.

    Args:
        labels: the last character of every node, as code points; of the root any.
        children: (nodes,) number of children of every node.
        log_probs: (nodes,) ln P(last character | the characters before it).
    Attributes:
        log_probs: the same as an array of Python's own, which is read faster.
    Raises:
        ValueError: the arrays do not describe a trie.
    """

    def __init__(self, labels: np.ndarray, children: np.ndarray, log_probs: np.ndarray):
        children = np.asarray(children, np.int64)
        if not (0 < len(labels) == len(children) == len(log_probs) == children.sum() + 1 and children.min() >= 0):
            raise ValueError(f"{len(labels)} nodes with {children.sum()} children are not a trie")
        parents = np.repeat(np.arange(len(children)), children)
        if (parents > np.arange(len(parents))).any() or not np.isfinite(log_probs).all() or np.max(log_probs) > 0.01:
            raise ValueError("not a trie of probabilities")
        self._labels = np.ascontiguousarray(labels, "<u4").tobytes().decode("utf-32-le", "surrogatepass")
        self._firsts = as_array("i", np.concatenate([[1], 1 + np.cumsum(children)]))
        self.log_probs = as_array("f", log_probs)

    def __len__(self) -> int:
        """Number of nodes, the root included."""
        return len(self._labels)

    @classmethod
    def of(cls, frequencies: Mapping[str, float]) -> Trie:
        """A trie of words and their frequencies, which are above 0.

        The nodes are numbered level by level. Of {"la": 3, "le": 1, "lea": 4}, with $ for the end of a word:

            node                 0      1    2      3      4   5    6    7
            last character       root   l    a      e      $   $    a    $
            children             1      2    1      2      0   0    1    0
            P(it | before it)    1      1    3/8    5/8    1   1/5  4/5  1

        Raises:
            ValueError: a word is longer than 200 characters.
        """
        texts = sorted(frequencies)  # as with `EDGE` behind each, which sorts before all that words hold
        if too_long := next((text for text in texts if len(text) > MAX_LENGTH), None):
            raise ValueError(f"{too_long[:30]!r}... is longer than {MAX_LENGTH} characters: not a word")
        weights = np.array([frequencies[text] for text in texts], np.float64)
        width = max(map(len, texts)) + 1
        padded = "".join((text + EDGE).ljust(width, "\0") for text in texts)
        characters = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), "<u4").reshape(len(texts), width)
        differs = np.vstack([np.ones(width, bool), characters[1:] != characters[:-1]])
        first_difference = differs.argmax(1)  # (texts,) where each text leaves the one before it
        labels, log_probs = [np.zeros(1, "<u4")], [np.zeros(1)]
        children, node_of = [], np.zeros(len(texts), np.int64)  # the node of every text, at the level before
        masses = np.array([weights.sum()])  # of the nodes at the level before
        for level in range(width):
            inside = np.flatnonzero(characters[:, level])  # texts that have a character here
            starts = inside[first_difference[inside] <= level]  # where a new node begins
            if not len(starts):
                break
            parents = node_of[starts]
            children.append(np.bincount(parents, minlength=len(masses)))
            node_of[inside] = np.searchsorted(starts, inside, side="right") - 1
            own = np.bincount(node_of[inside], weights[inside], minlength=len(starts))
            labels.append(characters[starts, level])
            log_probs.append(np.log(own / masses[parents]))
            masses = own
        children.append(np.zeros(len(masses), np.int64))
        return cls(np.concatenate(labels), np.concatenate(children), np.minimum(np.concatenate(log_probs), 0.0))

    def child(self, node: int, character: str) -> int | None:
        """The node that continues a beginning by a character; None if no text does."""
        found = self._labels.find(character, self._firsts[node], self._firsts[node + 1])
        return None if found < 0 else found

    def texts(self) -> dict[str, float]:
        """All texts and their probabilities."""
        beginnings, texts = [("", 0.0)], {}
        for node, (first, last) in enumerate(zip(self._firsts, self._firsts[1:])):
            text, total = beginnings[node]
            beginnings[node] = ("", 0.0)  # not needed any more
            for child in range(first, last):
                log_prob, label = total + self.log_probs[child], self._labels[child]
                beginnings.append(("", 0.0) if label == EDGE else (text + label, log_prob))
                if label == EDGE:
                    texts[text] = math.exp(log_prob)
        return texts

    def characters(self) -> str:
        """All characters of the texts."""
        return "".join(sorted(set(self._labels[1:]) - {EDGE}))

    def pack(self) -> dict[str, np.ndarray]:
        """The arrays of a file: 6 bytes for each node."""
        labels = np.frombuffer(self._labels.encode("utf-32-le", "surrogatepass"), "<u4")
        table, index = np.unique(labels, return_inverse=True)
        return {
            "trie.characters": table,
            "trie.labels": index.astype("<u2"),
            "trie.children": np.diff(self._firsts).astype("<u2"),
            "trie.log_probs": np.array(self.log_probs).astype("<f2"),
        }

    @classmethod
    def unpack(cls, arrays: dict[str, np.ndarray]) -> Trie:
        """What `pack` was called on, its logarithms rounded to 16 bits."""
        characters, labels, children, log_probs = (
            arrays[f"trie.{name}"] for name in ("characters", "labels", "children", "log_probs")
        )
        return cls(characters[labels], children, log_probs)


def as_array(typecode: str, values: np.ndarray) -> array:
    """An array of Python's own: an element of it is read much faster than one of NumPy's, and it takes as little room."""
    result = array(typecode)
    result.frombytes(np.ascontiguousarray(values, np.dtype(typecode)).tobytes())
    return result
