"""What was read in an image: texts, their confidence and the place of every character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

CHUNK = 256  # images in memory at a time


@dataclass(frozen=True)
class Character:
    """One character of a reading and its place."""

    text: str
    start: float  # px from the left edge of the given image
    end: float  # px; CTC's frames mark the middle of a letter more than its edges
    confidence: float  # 0-1, the highest probability among its frames


@dataclass(frozen=True)
class Word:
    """One word of a reading, between white space, and its place."""

    text: str
    start: float  # px from the left edge of the given image
    end: float  # px
    confidence: float  # 0-1, the probability that the word is right


@dataclass(frozen=True)
class Reading:
    """What was read in one image."""

    text: str  # with a closed list, as the list spells it
    confidence: float  # 0-1: the probability that the whole text is right
    characters: tuple[Character, ...]  # as the model writes them
    words: tuple[Word, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts and their probabilities; none if read greedily
    holds_two_lines: bool = False  # the image seems to hold two lines of writing; a model of lines reads neither then


class Reader(Protocol):
    """What reads lines: a `Recognizer`, for those who are given one."""

    def read_each(self, images: Iterable[Any], **options: Any) -> Iterator[Reading]: ...

    def try_read(self, images: Iterable[Any], **options: Any) -> Iterator[Reading | ValueError]: ...
