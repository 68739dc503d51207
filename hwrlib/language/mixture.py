"""Several languages at once: P(text) is the weighted mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language.base import IMPOSSIBLE, Language, State, pack_part, unpack_part

Parts = tuple[tuple[float, State], ...]  # per language: ln (weight x P(the characters so far)), and its state


class Mixture(Language, kind="Mixture"):
    """P(text) = the sum of weight x P(text) over the parts: a list of names, and an n-gram for names outside the list.

    Whole texts are mixed, not characters: the better a part has predicted the text so far, the more it counts.

    Args:
        parts: weights, which are scaled to sum to 1, and languages.
    Raises:
        ValueError: there is no part, or a weight is not above 0.
    """

    def __init__(self, parts: Sequence[tuple[float, Language]]):
        if not parts or not all(math.isfinite(weight) and weight > 0 for weight, _ in parts):
            raise ValueError(f"a mixture needs parts with weights above 0, not {[weight for weight, _ in parts]}")
        total = sum(weight for weight, _ in parts)
        self.parts = tuple((weight / total, language) for weight, language in parts)
        self.start: Parts = tuple((math.log(weight), language.start) for weight, language in self.parts)

    def advance(self, state: Parts, character: str) -> tuple[float, Parts]:
        """ln P(character | the characters so far), and the state after it."""
        ahead = []
        for (_, language), (mass, inner) in zip(self.parts, state):
            if mass > IMPOSSIBLE:
                log_prob, inner = language.advance(inner, character)
                mass += log_prob
            ahead.append((mass, inner))
        return _log_ratio(ahead, state), tuple(ahead)

    def end(self, state: Parts) -> float:
        """ln P(the text ends here | the characters so far)."""
        ends = [(mass + language.end(inner), inner) for (_, language), (mass, inner) in zip(self.parts, state)]
        return _log_ratio(ends, state)

    def characters(self) -> str | None:
        """Those of the first part that is limited to some; all such parts must belong to one charset."""
        return next((found for _, part in self.parts if (found := part.characters()) is not None), None)

    def original(self, text: str) -> str:
        """The text in the spelling of the first part that has another one."""
        return next((found for _, part in self.parts if (found := part.original(text)) != text), text)

    def _adapt(self, charset: Charset) -> Mixture:
        """The mixture of the adapted parts.

        Raises:
            ValueError: a part belongs to another charset.
        """
        parts = [(weight, language.adapted_to(charset)) for weight, language in self.parts]
        return self if all(new is old for (_, new), (_, old) in zip(parts, self.parts)) else Mixture(parts)

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The weights, and the parts under their numbers."""
        header, arrays = {"weights": [weight for weight, _ in self.parts]}, {}
        for number, (_, language) in enumerate(self.parts):
            own_header, own_arrays = pack_part(str(number), language)
            header, arrays = header | own_header, arrays | own_arrays
        return header, arrays

    @classmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Mixture:
        """The inverse of `pack`."""
        weights = header["weights"]
        return cls([(weight, unpack_part(str(number), header, arrays)) for number, weight in enumerate(weights)])


def _log_ratio(after: Sequence[tuple[float, State]], before: Sequence[tuple[float, State]]) -> float:
    """ln of P after / P before, each the sum over the parts."""
    total = _log_sum([mass for mass, _ in after])
    return total if total == IMPOSSIBLE else total - _log_sum([mass for mass, _ in before])


def _log_sum(logs: Sequence[float]) -> float:
    """ln of the sum of e^x."""
    highest = max(logs, default=IMPOSSIBLE)
    if highest == IMPOSSIBLE:
        return IMPOSSIBLE
    return highest + math.log(sum(math.exp(value - highest) for value in logs))
