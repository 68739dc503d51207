"""The interface of languages for beam search: the probability of each next character of a text, and of its end."""

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

State = Any  # the characters so far, as a language represents them; each kind has its own type


class Language(ABC):
    """A probability distribution over texts, character by character: P(text) = P(c1) P(c2 | c1) ... P(end | text).

    Attributes:
        start: the state before the first character.
    """

    start: State
    kind: ClassVar[str]  # names the class in files: declared, so that a class can be renamed
    kinds: ClassVar[dict[str, type[Language]]] = {}
    _adapted: tuple[Charset, Language] | None = None

    def __init_subclass__(cls, kind: str) -> None:
        cls.kind = kind
        Language.kinds[kind] = cls

    @abstractmethod
    def advance(self, state: State, character: str) -> tuple[float, State]:
        """ln P(character | the characters so far), and the state after it; minus infinity if it is impossible."""

    @abstractmethod
    def end(self, state: State) -> float:
        """ln P(the text ends here | the characters so far)."""

    def adapted_to(self, charset: Charset) -> Language:
        """This language in the spelling of a recogniser with that charset; the last result is cached.

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
        """The content of a file: plain values, and arrays."""

    @classmethod
    @abstractmethod
    def unpack(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Language:
        """The inverse of `pack`; `load` turns any error into a clear one."""

    def texts(self) -> list[str] | None:
        """All possible texts if they are a closed list; None if any text is possible."""
        return None

    def characters(self) -> str | None:
        """The only characters that `advance` accepts; None if it accepts any."""
        return None

    def original(self, text: str) -> str:
        """The spelling in the user's list of a text that the recogniser wrote; by default the text itself."""
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
        """Write it to a file in the format of `hwrlib/language/storage.py`.

        Raises:
            WriteError: the disk is full or read-only; an old file is intact.
        """
        header, arrays = self.pack()
        storage.write(path, {"kind": self.kind, **header}, arrays)

    @classmethod
    def load(cls, path: str | Path) -> Language:
        """Read what `save` wrote; runs no code from the file, and checks its sizes before allocating memory.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, not a language, or not of this class.
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
    """Header and arrays of a language that is stored under a name in the file of another one."""
    header, arrays = language.pack()
    packed = {f"{name}.{key}": array for key, array in arrays.items()}
    return {name: {"kind": language.kind, **header}}, packed


def unpack_part(name: str, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Language:
    """The inverse of `pack_part`."""
    own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
    return Language.kinds[header[name]["kind"]].unpack(header[name], own)
