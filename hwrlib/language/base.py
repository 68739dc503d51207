"""What beam search asks of a language: the probability of each next character of a text, and of its end."""

from __future__ import annotations

import math
import unicodedata
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language import storage

EDGE = "\n"  # the end of a text
IMPOSSIBLE = -math.inf  # ln 0

State = Any  # what a language remembers of the characters so far; each kind has its own


class Language(ABC):
    """A probability distribution over texts, character by character: P(text) = P(c1) P(c2 | c1) ... P(end | text).

    Attributes:
        start: the state before the first character.
    """

    start: State
    kinds: ClassVar[dict[str, type[Language]]] = {}  # by the name that stands in a file
    _adapted: tuple[Charset, Language] | None = None

    def __init_subclass__(cls) -> None:
        Language.kinds[cls.__name__] = cls

    @abstractmethod
    def advance(self, state: State, character: str) -> tuple[float, State]:
        """ln P(character | the characters so far), and the state behind it; minus infinity for the impossible."""

    @abstractmethod
    def end(self, state: State) -> float:
        """ln P(the text ends here | the characters so far)."""

    def adapted_to(self, charset: Charset) -> Language:
        """This language as a recogniser of that charset can write it; the last answer is remembered.

        Raises:
            ValueError: it belongs to another charset.
        """
        if self._adapted is None or self._adapted[0] != charset:
            self._adapted = (charset, self._adapt(charset))
        return self._adapted[1]

    @abstractmethod
    def _adapt(self, charset: Charset) -> Language:
        """What `adapted_to` returns."""

    @abstractmethod
    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a file has to hold: plain values, and arrays."""

    @classmethod
    @abstractmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Language:
        """What `pack` was called on; any error is turned into a clear one by `load`."""

    def texts(self) -> list[str] | None:
        """All texts it allows, if they are a closed list; None if any text is possible."""
        return None

    def characters(self) -> str | None:
        """The only characters that it may be asked for; None if it may be asked for any."""
        return None

    def original(self, text: str) -> str:
        """A text that the recogniser wrote, as the user spelled it in a list; by default the text itself."""
        return text

    def log_prob(self, text: str) -> float:
        """ln P(text), its end included.

        Raises:
            ValueError: a character is outside the charset.
        """
        total, state = 0.0, self.start
        for character in unicodedata.normalize("NFC", text):
            log_prob, state = self.advance(state, character)
            total += log_prob
        return total + self.end(state)

    def save(self, path: str | Path) -> None:
        """Write it to a file; the format is described in `hwrlib/language/storage.py`.

        Raises:
            WriteError: the disk is full or read-only; an old file is intact.
        """
        header, arrays = self.pack()
        storage.write(path, {"kind": type(self).__name__, **header}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Language:
        """Read what `save` wrote; no code is run, and nothing is allocated beyond what the file can hold.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, not a language, or of another kind than the class it was called on.
        """
        header, arrays = storage.read(path)
        with storage.fitting_together(path):
            language = Language.kinds[header["kind"]].unpack(header, arrays)
        if not isinstance(language, cls):
            raise ValueError(f"{path}: holds a {type(language).__name__}, not a {cls.__name__}")
        return language


def log_add(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def pack_part(name: str, language: Language) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A language that is part of another one, in that one's file: its header and its arrays, under a name."""
    header, arrays = language.pack()
    packed = {f"{name}.{key}": array for key, array in arrays.items()}
    return {name: {"kind": type(language).__name__, **header}}, packed


def unpack_part(name: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Language:
    """What `pack_part` was called on."""
    own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    return Language.kinds[header[name]["kind"]].unpack(header[name], own)
