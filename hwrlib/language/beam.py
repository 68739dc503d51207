"""Prefix beam search: the texts that the image and a language together find likeliest.

A text grows from left to right, frame by frame. For each of the best beginnings, the prefixes, two probabilities are kept:
that of the paths which end in a blank, and that of those which end in the prefix's last character. The same character
again prolongs the second kind and starts a new letter only after the first. All paths that spell a prefix are added up,
which is what reading the likeliest class of every frame cannot do. Prefixes are ranked by

    ln P(prefix | image) + weight x ln P(prefix | language) + bonus x characters.

What is dropped at a frame is remembered: if a tenth of all probability went with it, the right text is lost with that
probability, however sure the final beams are of each other.

Source: Graves et al., *Connectionist Temporal Classification* (2006), section 3.2; with a language: Hannun et al.,
*First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs* (2014).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hwrlib.charset import BLANK, Charset
from hwrlib.ctc import TINY, text_log_probabilities
from hwrlib.language.base import Language, State

BEAM, MAX_BEAM = 16, 10_000
WEIGHT, BONUS = 0.4, 0.6
SURELY_BLANK = 0.999  # frames whose blank is more probable are passed over: nothing is written there
CANDIDATE = -6.5  # log-probability below which a class is not tried at a frame
HOPELESS = 8.0  # a prefix whose score is so far below the best one's is dropped
SMALLEST = 1e-30  # probability that is assumed even for a class that the network rules out
TEXTS_AT_ONCE = 512  # texts of a closed list that are scored together


class Beam(NamedTuple):
    """A text that an image may show."""

    text: str
    probability: float  # among all texts, as far as the search can tell, or among those of a closed list
    log_prob: float  # ln P(text | image), of the network alone; a little too low, since weak paths are not followed
    score: float  # what beams are ranked by


class Found(NamedTuple):
    """What a search has found in a line."""

    beams: list[Beam]  # the likeliest first
    kept: list[float]  # (T,) of the probability of all prefixes that were ranked at a frame, the fraction in the beams


class Prefix:
    """The beginning of a text: a node in the tree of all that were tried on a line."""

    __slots__ = ("parent", "index", "character", "children", "state", "prior")

    def __init__(self, parent: Prefix | None, index: int, character: str, state: State, prior: float):
        self.parent, self.index, self.character = parent, index, character
        self.state = state  # of the language
        self.prior = prior  # weight x ln P(prefix | language) + bonus x characters
        self.children: dict[int, Prefix] = {}

    def text(self) -> str:
        """The characters from the root to here."""
        characters, prefix = [], self
        while prefix.parent is not None:
            characters.append(prefix.character)
            prefix = prefix.parent
        return "".join(reversed(characters))


def beam_decode(
    log_probs: np.ndarray,
    input_lengths: np.ndarray,
    language: Language | None,
    *,
    charset: Charset,
    beam: int = BEAM,
    weight: float = WEIGHT,
    bonus: float = BONUS,
) -> list[list[Beam]]:
    """The likeliest texts of each line.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
        language: None for the image alone; weight and bonus are then 0. For a closed list (`Lexicon`), each of its texts is
            scored exactly.
        charset: of the C classes.
        beam: prefixes that are kept at each frame, and texts that are returned at most.
        weight: of the language's logarithms beside the network's.
        bonus: added for each character, since a language alone prefers short texts.
    Returns:
        N lists, the likeliest text first; an empty one if no text of a closed list fits into the line's frames. The
        probabilities lack to 1 what was dropped on the way.
    Raises:
        ValueError: the language, or C, is of another charset; a length exceeds T; beam, weight or bonus is out of range.
    """
    settings = dict(beam=beam, weight=weight, bonus=bonus)
    return [found.beams for found in search(log_probs, input_lengths, language, charset=charset, **settings)]


def search(
    log_probs: np.ndarray,
    input_lengths: np.ndarray,
    language: Language | None,
    *,
    charset: Charset,
    beam: int,
    weight: float,
    bonus: float,
) -> list[Found]:
    """As `beam_decode`, with what was kept at each frame."""
    log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
    _check_frames(log_probs, input_lengths, charset)
    check_settings(beam=beam, weight=weight, bonus=bonus)
    language = None if language is None else language.adapted_to(charset)
    closed = None if language is None else language.texts()
    if language is not None and closed is not None:
        decoder: _Search | _ClosedList = _ClosedList(closed, language, charset, beam=beam, weight=weight, bonus=bonus)
    else:
        weight, bonus = (0.0, 0.0) if language is None else (weight, bonus)
        decoder = _Search(language if weight else None, charset, beam=beam, weight=weight, bonus=bonus)
    return [decoder.decode(log_probs[:length, n]) for n, length in enumerate(input_lengths.tolist())]


class _Search:
    """Prefix beam search on one line after another, with one language."""

    def __init__(self, language: Language | None, charset: Charset, *, beam: int, weight: float, bonus: float):
        self.language, self.charset, self.beam, self.weight, self.bonus = language, charset, beam, weight, bonus

    def decode(self, log_probs: np.ndarray) -> Found:
        """The texts of the final beams; log_probs: (T, C) of one line."""
        root = Prefix(None, BLANK, "", None if self.language is None else self.language.start, 0.0)
        probs = np.exp(log_probs, dtype=np.float64)  # (T, C)
        written = probs[:, BLANK] <= SURELY_BLANK  # (T,) frames at which something may be written
        log_scale = float(log_probs[~written, BLANK].sum())
        times, candidates = np.flatnonzero(written).tolist(), _candidates(log_probs)
        rows = np.maximum(probs[written], SMALLEST).tolist()
        beams, kept, before = {root: [1.0, 0.0]}, [1.0] * len(log_probs), -1
        for time, row in zip(times, rows):
            if time > before + 1:  # blanks were passed over: all paths end in one
                beams = {prefix: [blank + label, 0.0] for prefix, (blank, label) in beams.items()}
            before = time
            beams, kept[time] = self._rank(self._step(beams, row, candidates[time]))
            if not beams:
                return Found([], kept)  # the language rules out every text
            log_scale += _rescale(beams)
        return Found(self._finish(beams, log_scale, math.prod(kept)), kept)

    def _step(self, beams: dict[Prefix, list[float]], row: list[float], candidates: list[int]) -> dict[Prefix, list[float]]:
        """One frame: every prefix stays as it is, or grows by one of the candidates."""
        ahead = {
            prefix: [(blank + label) * row[BLANK], label * row[prefix.index]] for prefix, (blank, label) in beams.items()
        }
        needed = self._needed(ahead)
        for prefix, (blank, label) in beams.items():
            for index in candidates:
                probability = (blank if index == prefix.index else blank + label) * row[index]
                if (child := prefix.children.get(index)) is None:
                    if not probability or math.log(probability) + prefix.prior < needed:
                        continue
                    child = self._grow(prefix, index)
                if child in ahead:
                    ahead[child][1] += probability
                else:
                    ahead[child] = [0.0, probability]
        return ahead

    def _needed(self, stays: dict[Prefix, list[float]]) -> float:
        """The score below which a prefix, grown by a character, cannot be among the best: the language is not asked for it.

        All that stay score higher already, or the best of them by far, and the language can only lower the other's score.
        """
        scores = list(map(_score, stays, stays.values()))
        lowest = max(scores) - HOPELESS if len(stays) < self.beam else max(min(scores), max(scores) - HOPELESS)
        return lowest - max(self.bonus, 0.0)

    def _grow(self, prefix: Prefix, index: int) -> Prefix:
        character, state, prior = self.charset.characters[index - 1], None, prefix.prior + self.bonus
        if self.language is not None:
            log_prob, state = self.language.advance(prefix.state, character)
            prior += self.weight * log_prob
        child = prefix.children[index] = Prefix(prefix, index, character, state, prior)
        return child

    def _rank(self, ahead: dict[Prefix, list[float]]) -> tuple[dict[Prefix, list[float]], float]:
        """The best prefixes, the best one first, and the fraction of the probability of all that they have."""
        scores = dict(zip(ahead, map(_score, ahead, ahead.values())))
        order = sorted(scores, key=scores.__getitem__, reverse=True)
        highest = scores[order[0]]
        if highest == -math.inf:
            return {}, 0.0
        best = {prefix: ahead[prefix] for prefix in order[: self.beam] if scores[prefix] >= highest - HOPELESS}
        if len(best) == len(order):
            return best, 1.0
        relative = [math.exp(scores[prefix] - highest) for prefix in order]
        return best, sum(relative[: len(best)]) / sum(relative)

    def _finish(self, beams: dict[Prefix, list[float]], log_scale: float, kept: float) -> list[Beam]:
        """The prefixes as whole texts, which together have the probability `kept`."""
        texts, log_probs, scores = [], [], []
        for prefix, (blank, label) in beams.items():
            texts.append(prefix.text())
            log_probs.append(min(math.log(blank + label or TINY) + log_scale, 0.0))
            end = 0.0 if self.language is None else self.weight * self.language.end(prefix.state)
            scores.append(log_probs[-1] + prefix.prior + end)
        return _ranked(texts, np.array(log_probs), np.array(scores), kept)


class _ClosedList:
    """Every text of a list, scored exactly: a millisecond for each ten of them."""

    def __init__(self, texts: list[str], language: Language, charset: Charset, *, beam: int, weight: float, bonus: float):
        self.texts, self.beam = texts, beam
        self.classes = [charset.encode(text) for text in texts]
        priors = np.array([language.log_prob(text) for text in texts])
        self.priors = weight * priors + bonus * np.array([len(text) for text in texts])  # (texts,)

    def decode(self, log_probs: np.ndarray) -> Found:
        """The likeliest texts; log_probs: (T, C) of one line."""
        parts = []
        for first in range(0, len(self.texts), TEXTS_AT_ONCE):
            classes = self.classes[first : first + TEXTS_AT_ONCE]
            repeated = np.broadcast_to(log_probs[:, None], (len(log_probs), len(classes), log_probs.shape[1]))
            parts.append(text_log_probabilities(repeated, np.full(len(classes), len(log_probs)), classes))
        image = np.concatenate(parts)  # (texts,) ln P(text | image)
        return Found(_ranked(self.texts, image, image + self.priors, 1.0)[: self.beam], [1.0] * len(log_probs))


# Parts ---------------------------------------------------------------------------------------------------------------


def _candidates(log_probs: np.ndarray) -> list[list[int]]:
    """The characters that are tried at each frame of one line."""
    likely = log_probs > CANDIDATE
    likely[:, BLANK] = False
    candidates: list[list[int]] = [[] for _ in log_probs]
    for time, index in zip(*(places.tolist() for places in np.nonzero(likely))):
        candidates[time].append(index)
    return candidates


def _score(prefix: Prefix, probabilities: list[float]) -> float:
    """What prefixes are ranked by."""
    blank, label = probabilities
    return math.log(blank + label or TINY) + prefix.prior


def _rescale(beams: dict[Prefix, list[float]]) -> float:
    """Divide by the highest probability, so that none underflows; the logarithm of what was divided by."""
    highest = max(map(sum, beams.values()))
    for probabilities in beams.values():
        probabilities[0] /= highest
        probabilities[1] /= highest
    return math.log(highest)


def _ranked(texts: Sequence[str], log_probs: np.ndarray, scores: np.ndarray, total: float) -> list[Beam]:
    """The possible texts, the likeliest first, with their probabilities, which sum to a total."""
    if not (possible := np.flatnonzero(np.isfinite(scores))).size:
        return []
    weights = np.exp(scores[possible] - scores[possible].max())
    probabilities = total * weights / weights.sum()
    order = np.argsort(-probabilities, kind="stable")
    return [
        Beam(texts[possible[i]], float(probabilities[i]), float(log_probs[possible[i]]), float(scores[possible[i]]))
        for i in order
    ]


def _check_frames(log_probs: np.ndarray, input_lengths: np.ndarray, charset: Charset) -> None:
    if log_probs.ndim != 3 or log_probs.shape[1:] != (len(input_lengths), len(charset)):
        raise ValueError(
            f"log_probs of shape {log_probs.shape} do not belong to {len(input_lengths)} lines of {len(charset)} classes"
        )
    if len(input_lengths) and input_lengths.max() > len(log_probs):
        raise ValueError(f"input_lengths reach {input_lengths.max()}, but there are {len(log_probs)} frames")


def check_settings(*, beam: int, weight: float, bonus: float) -> None:
    """Check the settings of a beam search.

    Raises:
        ValueError: one is out of range.
    """
    if not (isinstance(beam, int) and 1 <= beam <= MAX_BEAM):
        raise ValueError(f"beam must be a whole number of 1 ... {MAX_BEAM}, not {beam!r}")
    if not (isinstance(weight, (int, float)) and math.isfinite(weight) and weight >= 0):
        raise ValueError(f"weight must be a number of at least 0, not {weight!r}")
    if not (isinstance(bonus, (int, float)) and math.isfinite(bonus)):
        raise ValueError(f"bonus must be a number, not {bonus!r}")
