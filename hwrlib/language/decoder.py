"""A language with the settings it is used with: what turns the frames of a line into text, alternatives and confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from hwrlib.charset import Charset
from hwrlib.ctc import TINY, Decoded, Symbol, greedy_symbols, text_log_probabilities, word_spans
from hwrlib.language import storage
from hwrlib.language.alignment import forced_alignment
from hwrlib.language.base import Language, pack_part, unpack_part
from hwrlib.language.beam import BEAM, BONUS, WEIGHT, Beam, Found, check_settings, search
from hwrlib.language.lexicon import Lexicon

KIND = "Decoder"
CERTAIN = 0.995  # probability of the greedy text from which on no other one is searched for
WORTH_TELLING = 0.001  # probability of an alternative


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities right: of readings with confidence 0.9, nine in ten are correct.

    Log-odds are divided by a temperature and shifted.

    Raises:
        ValueError: a value is out of range.
    Source: Platt, *Probabilistic Outputs for Support Vector Machines* (1999); Guo et al., *On Calibration of Modern Neural
    Networks* (2017).
    """

    temperature: float = 1.0
    shift: float = 0.0

    def __post_init__(self):
        for name, value, lowest in (("temperature", self.temperature, 1e-3), ("shift", self.shift, -math.inf)):
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= lowest):
                raise ValueError(f"the {name} of a calibration must be a number of at least {lowest:g}, not {value!r}")

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities."""
        log_odds = log_odds_of(probabilities) / self.temperature + self.shift
        return 1 / (1 + np.exp(-log_odds))


def log_odds_of(probabilities: np.ndarray) -> np.ndarray:
    """ln p / (1 - p), finite also for 0 and 1."""
    p = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class Decoder:
    """A language and how it is weighed against the image; see `beam_decode` for the settings.

    `hwrlib.language.tuning` chooses them on a validation split.

    Raises:
        ValueError: a setting is out of range.
    """

    language: Language | None  # None: the image alone
    beam: int = BEAM
    weight: float = WEIGHT
    bonus: float = BONUS
    of_texts: Calibration = Calibration()
    of_words: Calibration = Calibration()

    def __post_init__(self):
        check_settings(beam=self.beam, weight=self.weight, bonus=self.bonus)

    def with_language(self, language: Language) -> Decoder:
        """The same settings with another language; a list of known values counts in full (weight 1, bonus 0)."""
        if isinstance(language, Lexicon):
            return Decoder(language, beam=self.beam, weight=1.0, bonus=0.0)
        return replace(self, language=language)

    def decode(
        self, log_probs: np.ndarray, input_lengths: np.ndarray, charset: Charset, *, alternatives: int = 5
    ) -> list[Decoded]:
        """Read every line of a batch.

        Args:
            log_probs: (T, N, C) natural-log probabilities.
            input_lengths: (N,) valid frames, each at most T.
            charset: of the C classes.
            alternatives: other texts that are returned at most. Texts with a probability below 0.001 are not.
        Returns:
            N lines. One in which no text of a closed list fits is read as empty, with confidence 0.
        Raises:
            ValueError: the language belongs to another charset.
        """
        original = str if self.language is None else self.language.adapted_to(charset).original
        lines = []
        for found, symbols in self.search(log_probs, input_lengths, charset):
            if not found.beams:
                lines.append(Decoded("", [], 0.0, ()))
                continue
            confidence, *others = self._calibrated([beam.probability for beam in found.beams])
            of_words = self.of_words(word_probabilities(found, symbols)).tolist()
            pairs = [(original(beam.text), p) for beam, p in zip(found.beams[1:], others) if p >= WORTH_TELLING]
            text = original(found.beams[0].text)
            lines.append(Decoded(text, symbols, confidence, tuple(of_words), tuple(pairs[:alternatives])))
        return lines

    def search(self, log_probs: np.ndarray, input_lengths: np.ndarray, charset: Charset) -> list[tuple[Found, list[Symbol]]]:
        """The likeliest texts of each line, uncalibrated, and the characters of the best one with their frames.

        A text that greedy decoding is sure of is the only one.
        """
        log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
        lines = self._sure(log_probs, input_lengths, charset)
        rest = [number for number in range(len(input_lengths)) if number not in lines]
        frames, lengths = log_probs[:, rest], input_lengths[rest]
        settings = dict(beam=self.beam, weight=self.weight, bonus=self.bonus)
        searched = search(frames, lengths, self.language, charset=charset, **settings)
        best = [charset.encode(found.beams[0].text) if found.beams else [] for found in searched]
        lines.update(zip(rest, zip(searched, forced_alignment(frames, lengths, best))))
        return [lines[number] for number in range(len(input_lengths))]

    def _sure(
        self, log_probs: np.ndarray, input_lengths: np.ndarray, charset: Charset
    ) -> dict[int, tuple[Found, list[Symbol]]]:
        """The lines that need no search, by their numbers."""
        language = None if self.language is None else self.language.adapted_to(charset)
        symbols = greedy_symbols(log_probs, input_lengths)
        texts = [[symbol.index for symbol in line] for line in symbols]
        logs = text_log_probabilities(log_probs, input_lengths, texts)
        lines = {}
        for number in np.flatnonzero(logs > math.log(CERTAIN)).tolist():
            text, log_prob = charset.decode(texts[number]), float(logs[number])
            if language is None or language.log_prob(text) > -math.inf:
                beams = [Beam(text, math.exp(log_prob), log_prob, log_prob)]
                lines[number] = Found(beams, [1.0] * int(input_lengths[number])), symbols[number]
        return lines

    def _calibrated(self, probabilities: Sequence[float]) -> list[float]:
        """The calibrated probabilities of a line's texts; those behind the first are scaled down where all exceed 1."""
        best, *others = self.of_texts(np.array(probabilities)).tolist()
        scale = min(1.0, (1.0 - best) / max(sum(others), TINY))
        return [best, *(scale * probability for probability in others)]

    def save(self, path: str | Path) -> None:
        """Write it to a file; the format is described in `hwrlib/language/storage.py`.

        Raises:
            WriteError: the disk is full or read-only; an old file is intact.
        """
        header = dict(beam=self.beam, weight=self.weight, bonus=self.bonus)
        header |= dict(of_texts=asdict(self.of_texts), of_words=asdict(self.of_words))
        own, arrays = ({}, {}) if self.language is None else pack_part("language", self.language)
        storage.write(path, {"kind": KIND, **header, **own}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Decoder:
        """Read what `save` wrote, or a language alone, which gets the default settings.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, or neither a decoder nor a language.
        """
        header, arrays = storage.read(path)
        if header.get("kind") != KIND:
            return cls(Language.load(path))
        with storage.fitting_together(path):
            language = unpack_part("language", header, arrays) if "language" in header else None
            calibrations = (Calibration(**header[name]) for name in ("of_texts", "of_words"))
            return cls(language, *(header[name] for name in ("beam", "weight", "bonus")), *calibrations)


def word_probabilities(found: Found, symbols: Sequence[Symbol]) -> np.ndarray:
    """The probability of every word of the best text: of all beams that have it there, and that it was not dropped."""
    best = found.beams[0].text
    spans, sums = word_spans(best), np.zeros(len(word_spans(best)))
    for beam in found.beams:
        blocks = [op for op in Levenshtein.opcodes(best, beam.text) if op.tag == "equal"]
        for number, (start, end) in enumerate(spans):
            for block in blocks:
                shift = block.dest_start - block.src_start
                if block.src_start <= start and end <= block.src_end and _is_word(beam.text, start + shift, end + shift):
                    sums[number] += beam.probability
    sums /= max(math.prod(found.kept), TINY)  # what was dropped counts at its frames only
    kept = [math.prod(found.kept[symbols[start].first_frame : symbols[end - 1].last_frame + 1]) for start, end in spans]
    return np.minimum(sums * kept, 1.0)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether these characters are a whole word of a text."""
    return not text[max(start - 1, 0) : start].strip() and not text[end : end + 1].strip()
