"""How a language is weighed against the network, and how sure its readings are: chosen on a validation split.

`tune` decodes the lines and looks for the weight and bonus with the lowest CER among the texts that were found, decodes
again with those, and so on, which needs two or three searches where a grid of settings would need hundreds.

Source: Och, *Minimum Error Rate Training in Statistical Machine Translation* (2003).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from hwrlib.charset import Charset
from hwrlib.ctc import Symbol, greedy_decode
from hwrlib.language.base import Language
from hwrlib.language.beam import BONUS, WEIGHT, Found
from hwrlib.language.decoder import Calibration, Decoder, log_odds_of, word_probabilities
from hwrlib.metrics import Scores, is_special, score

WEIGHTS, BONUSES = np.arange(0.0, 1.55, 0.05), np.arange(-0.5, 2.05, 0.1)
TOLERANCE = 0.25  # standard deviations of the number of edits by which settings nearer to the default may be worse
ROUNDS = 3
TEMPERATURES, SHIFTS = np.geomspace(0.25, 4.0, 49), np.arange(-2.0, 2.05, 0.05)
SPREAD = 0.5  # of the logarithm of temperatures, and of shifts, that are expected

Frames = list[np.ndarray]  # of each line, (T, C) natural-log probabilities
Searched = list[tuple[Found, list[Symbol]]]  # of each line, what was found, and the characters of the best text


class Tuned(NamedTuple):
    """A decoder and what it brings on the lines it was chosen on."""

    decoder: Decoder  # without a language, if none helps
    greedy: Scores
    tuned: Scores  # with the decoder


def tune(language: Language, frames: Frames, texts: Sequence[str], charset: Charset) -> Tuned:
    """The decoder with the lowest CER on these lines, calibrated; without the language if it does not help.

    Args:
        language: to be weighed.
        frames: of lines that neither the network nor the language was trained on.
        texts: their labels.
        charset: of the network.
    Raises:
        ValueError: all labels are special: nothing to tune on.
    """
    known = [i for i, text in enumerate(texts) if not is_special(text)]
    frames, texts = [frames[i] for i in known], [texts[i] for i in known]
    greedy = score(texts, [charset.decode(greedy_decode(line[:, None], [len(line)])[0]) for line in frames])
    decoder = Decoder(language)
    lists = _NBest(texts, language.adapted_to(charset))
    for _ in range(ROUNDS):
        lists.add(_search(decoder, frames, charset))
        weight, bonus = lists.best_settings()
        if (weight, bonus) == (decoder.weight, decoder.bonus):
            break
        decoder = replace(decoder, weight=weight, bonus=bonus)
    lines = _search(decoder, frames, charset)
    if _scores(lines, texts).cer >= greedy.cer:
        decoder = replace(decoder, language=None, weight=WEIGHT, bonus=BONUS)  # for a language that the user brings
        lines = _search(decoder, frames, charset)
    of_texts, of_words = _calibrations(lines, texts)
    return Tuned(replace(decoder, of_texts=of_texts, of_words=of_words), greedy, _scores(lines, texts))


def _calibrations(lines: Searched, texts: Sequence[str]) -> tuple[Calibration, Calibration]:
    """That of whole texts, and that of words."""
    of_texts, right_texts, of_words, right_words = [], [], [], []
    for (found, symbols), truth in zip(lines, texts):
        if found.beams:
            text = found.beams[0].text
            of_texts.append(found.beams[0].probability)
            right_texts.append(text == truth)
            of_words += word_probabilities(found, symbols).tolist()
            right_words += right_words_of(text, truth)
    return fit_calibration(of_texts, right_texts), fit_calibration(of_words, right_words)


def right_words_of(text: str, truth: str) -> list[bool]:
    """Of every word of a text, whether the truth has it at the same place."""
    words = text.split()
    right = [False] * len(words)
    for step in Levenshtein.opcodes(words, truth.split()):
        if step.tag == "equal":
            right[step.src_start : step.src_end] = [True] * (step.src_end - step.src_start)
    return right


def fit_calibration(probabilities: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The calibration that makes it likeliest that these were right and the others wrong; few of them change little."""
    log_odds, signs = log_odds_of(np.array(probabilities)), np.where(np.array(right, bool), 1.0, -1.0)
    best, lowest = Calibration(), math.inf
    for temperature, shift in product(TEMPERATURES, SHIFTS):
        loss = np.logaddexp(0, -signs * (log_odds / temperature + shift)).sum()
        loss += ((math.log(temperature) / SPREAD) ** 2 + (shift / SPREAD) ** 2) / 2
        if loss < lowest:
            best, lowest = Calibration(round(float(temperature), 3), round(float(shift), 3)), loss
    return best


def _search(decoder: Decoder, frames: Frames, charset: Charset) -> Searched:
    return [decoder.search(line[:, None], np.array([len(line)]), charset)[0] for line in frames]


def _scores(lines: Searched, texts: Sequence[str]) -> Scores:
    return score(texts, [found.beams[0].text if found.beams else "" for found, _ in lines])


class _NBest:
    """The texts that searches have found in every line, and how wrong each is."""

    def __init__(self, texts: Sequence[str], language: Language):
        self.texts, self.language = texts, language
        self.found: list[dict[str, tuple[float, float, int, int]]] = [{} for _ in texts]

    def add(self, lines: Searched) -> None:
        """Add what a search has found: ln P(text | image), ln P(text), characters, edits."""
        for known, (found, _), truth in zip(self.found, lines, self.texts):
            for beam in found.beams:
                if beam.text not in known:
                    edits = Levenshtein.distance(truth, beam.text)
                    known[beam.text] = (beam.log_prob, self.language.log_prob(beam.text), len(beam.text), edits)

    def best_settings(self) -> tuple[float, float]:
        """The weight and the bonus whose best texts have the fewest edits, on average over the settings around them.

        Many settings have about as few edits, and which of them has the fewest is partly chance. Of those within the
        tolerance of the minimum, the one nearest to the default is returned.
        """
        most = max(map(len, self.found))
        table = np.full((4, len(self.found), max(most, 1)), -np.inf)  # (4, lines, texts)
        for line, known in enumerate(self.found):
            if known:
                table[:, line, : len(known)] = np.array(list(known.values())).T
        image, language, characters, edits = table
        language, characters = np.where(np.isfinite(image), language, 0), np.where(np.isfinite(image), characters, 0)
        wrong = np.empty((len(WEIGHTS), len(BONUSES)))
        for (i, weight), (j, bonus) in product(enumerate(WEIGHTS), enumerate(BONUSES)):
            best = (image + weight * language + bonus * characters).argmax(1)
            wrong[i, j] = np.take_along_axis(edits, best[:, None], 1).clip(min=0).sum()
        padded = np.pad(wrong, 1, mode="edge")
        smooth = sum(padded[i : i + wrong.shape[0], j : j + wrong.shape[1]] for i, j in product(range(3), repeat=2))
        smooth /= 9
        good = smooth <= smooth.min() + TOLERANCE * math.sqrt(smooth.min())
        distance = ((WEIGHTS[:, None] - WEIGHT) / np.ptp(WEIGHTS)) ** 2 + ((BONUSES - BONUS) / np.ptp(BONUSES)) ** 2
        i, j = np.unravel_index(int(np.where(good, distance, np.inf).argmin()), smooth.shape)
        return round(float(WEIGHTS[i]), 2), round(float(BONUSES[j]), 2)
