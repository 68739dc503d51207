"""Counting character n-grams and turning the counts into probabilities: interpolated modified Kneser-Ney smoothing.

A context h was followed c(h) times by some character. From the count of each n-gram hw a discount D is taken and given to
the characters in proportion to their probability after h', which is h without its oldest character:

    P(w | h) = max(c(hw) - D(c(hw)), 0) / c(h) + b(h) P(w | h'),    b(h) = the sum of the discounts / c(h).

Below the highest order, c(hw) is not how often hw occurred, but after how many different characters: what counts there is
in how many contexts w can appear. D has three values, for n-grams that occurred once, twice, and more often.

Source: Chen and Goodman, *An Empirical Study of Smoothing Techniques for Language Modeling* (1998), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hwrlib.language.trie import ROOT

EDGE_CLASS = 0  # the class of the mark before and after every text
START = ROOT + 1  # the node of the beginning of a text
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # for texts too few to estimate them from; KenLM's


class Counts(NamedTuple):
    """N-grams as nodes, numbered level by level, sorted by parent and class: node 0 is the root, 1 ... C the unigrams."""

    parents: np.ndarray  # (nodes,) the n-gram without its last character; the root is its own
    classes: np.ndarray  # (nodes,) the last character, 0 for the edge of a text
    counts: np.ndarray  # (nodes,) float64
    levels: list[slice]  # the nodes of unigrams, of bigrams, and so on


def count(classes: np.ndarray, weights: np.ndarray, *, num_classes: int, order: int) -> Counts:
    """Count the n-grams of texts up to an order.

    Args:
        classes: (length,) all texts in a row with `EDGE_CLASS` before, between and after them; -1 for an unknown character.
        weights: (length,) how often each character counts; 0 for the first edge, which is not the end of a text.
        num_classes: C, the edge included.
        order: the longest n-grams.
    """
    parts = [(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))]  # the root
    known = classes >= 0
    unigrams = np.bincount(classes[known], weights[known], minlength=num_classes)
    parts.append((np.zeros(num_classes, np.int64), np.arange(num_classes), unigrams))
    nodes, size = np.where(known, 1 + classes, -1), 1 + num_classes  # nodes[i]: the n-gram that ends with character i
    before = np.concatenate([[-1], classes[:-1]])
    for n in range(2, order + 1):
        context = np.concatenate([[-1], nodes[:-1]])
        # An edge may begin an n-gram or end it. Two edges in a row are no text.
        valid = known & (context >= 0) & ~((before == EDGE_CLASS) & ((n > 2) | (classes == EDGE_CLASS)))
        keys, place = np.unique(context[valid] * num_classes + classes[valid], return_inverse=True)
        nodes = np.full(len(classes), -1)
        nodes[valid] = size + place
        parts.append((keys // num_classes, keys % num_classes, np.bincount(place, weights[valid], minlength=len(keys))))
        size += len(keys)
    ends = np.cumsum([len(parents) for parents, _, _ in parts])
    levels = [slice(first, last) for first, last in zip(ends[:-1], ends[1:])]
    return Counts(*(np.concatenate(columns) for columns in zip(*parts)), levels)


def estimate(trie: Counts, suffixes: np.ndarray, *, prune: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of all n-grams.

    Args:
        suffixes: (nodes,) each n-gram without its first character.
        prune: n-grams of three characters and more with lower counts are dropped; their probability goes to the back-off.
    Returns:
        (nodes,) P(last character | the others), (nodes,) the back-off b of each node as a context, and (nodes,) whether the
        node is kept.
    """
    parents, size, num_classes = trie.parents, len(trie.parents), trie.levels[0].stop - 1
    counts = _continuation_counts(trie, suffixes)
    kept = trie.counts >= prune
    kept[: trie.levels[min(1, len(trie.levels) - 1)].stop] = True  # unigrams and bigrams
    probs, backoffs = np.full(size, 1 / num_classes), np.ones(size)
    for level in trie.levels:
        context, total = parents[level], np.bincount(parents[level], counts[level], minlength=size)
        discounted = np.where(kept[level], counts[level] - _discounts(counts[level]), 0.0)
        passed_on = total - np.bincount(context, discounted, minlength=size)
        np.divide(passed_on, total, out=backoffs, where=total > 0)
        lower = probs[suffixes[level]]
        probs[level] = discounted / np.maximum(total[context], 1e-300) + backoffs[context] * lower
    return probs, backoffs, kept


def _continuation_counts(trie: Counts, suffixes: np.ndarray) -> np.ndarray:
    """Below the highest order, the number of different characters before an n-gram, unless it begins a text."""
    counts, begins_text = trie.counts.copy(), np.zeros(len(trie.counts), bool)
    begins_text[START] = True
    for level, longer in zip(trie.levels, trie.levels[1:]):
        begins_text[longer] = begins_text[trie.parents[longer]]
        different = np.bincount(suffixes[longer], minlength=len(counts))[level]
        keeps_count = begins_text[level] & (level.start > START)  # the unigram of the edge is the end of a text
        counts[level] = np.where(keeps_count, counts[level], different)
    return counts


def _discounts(counts: np.ndarray) -> np.ndarray:
    """The discount of each count, estimated from how many n-grams have the counts 1, 2, 3 and 4."""
    whole = np.ceil(counts).astype(np.int64)
    n1, n2, n3, n4 = (int((whole == value).sum()) for value in (1, 2, 3, 4))
    values: Sequence[float] = FALLBACK_DISCOUNTS
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        values = [
            d if 0 < d < i else f
            for i, d, f in zip(
                (1, 2, 3), (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3), FALLBACK_DISCOUNTS
            )
        ]
    return np.minimum(np.array([0.0, *values])[np.minimum(whole, 3)], counts)
