"""What beam search asks of a language: the probability of each next character of a text, and of its end."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language import storage

State = Any  # what a language remembers of the characters so far; each kind has its own


class Language(ABC):
    """A probability distribution over texts, character by character: P(text) = P(c1) P(c2 | c1) ... P(end | text).

    Attributes:
        start: the state before the first character.
    """

    start: State
    kinds: ClassVar[dict[str, type[Language]]] = {}  # by the name that stands in a file

    def __init_subclass__(cls) -> None:
        Language.kinds[cls.__name__] = cls

    @abstractmethod
    def advance(self, state: State, character: str) -> tuple[float, State]:
        """ln P(character | the characters so far), and the state behind it; minus infinity for the impossible."""

    @abstractmethod
    def end(self, state: State) -> float:
        """ln P(the text ends here | the characters so far)."""

    @abstractmethod
    def adapted_to(self, charset: Charset) -> Language:
        """This language as a recogniser of that charset can write it.

        Raises:
            ValueError: it belongs to another charset.
        """

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
        try:
            language = Language.kinds[header["kind"]].unpack(header, arrays)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path}: damaged, its parts do not fit together ({error!r}); save it again") from error
        if not isinstance(language, cls):
            raise ValueError(f"{path}: holds a {type(language).__name__}, not a {cls.__name__}")
        return language
