"""The charset: which characters a recogniser can write, and the class index of each.

Class 0 is the CTC blank ("no new character here"); class `k` is the `k`-th character. Texts are compared in
Unicode's composed form (NFC), so that an é typed as e + ´ has the same class as é.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

BLANK = 0


class Charset:
    """A fixed, ordered set of characters, one class index each, after the CTC blank.

    Args:
        characters: the characters in the order of their classes; each a single character in NFC, all different.
    Raises:
        ValueError: a character occurs twice, or there is none; or it is not a text.
    """

    def __init__(self, characters: str):
        if not isinstance(characters, str):
            raise ValueError(f"a charset is a text, not {type(characters).__name__}")
        if not characters:
            raise ValueError("a charset needs at least one character; are all labels empty?")
        if characters != unicodedata.normalize("NFC", characters):
            raise ValueError(f"{characters!r} has decomposed characters; write é as one character (NFC)")
        doubled = sorted(c for c, times in Counter(characters).items() if times > 1)
        if doubled:
            raise ValueError(f"characters that occur twice in the charset: {doubled}")
        self.characters = characters
        self._class_of = {character: index for index, character in enumerate(characters, start=BLANK + 1)}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "Charset":
        """The characters of the given texts, sorted by code point."""
        return cls("".join(sorted(set().union(*(unicodedata.normalize("NFC", text) for text in texts)))))

    def __len__(self) -> int:
        """Number of classes C, the blank included."""
        return len(self.characters) + 1

    def __repr__(self) -> str:
        return f"Charset({self.characters!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and self.characters == other.characters

    def missing(self, text: str) -> list[str]:
        """Characters of `text` that have no class, sorted, each once."""
        return sorted(set(unicodedata.normalize("NFC", text)) - set(self._class_of))

    def encode(self, text: str, *, skip_missing: bool = False) -> list[int]:
        """The class indices of a text.

        Args:
            text: any string; composed to NFC first.
            skip_missing: skip characters outside the charset (for a validation loss) instead of rejecting the text.
        Returns:
            One class index in 1 … C-1 for each character.
        Raises:
            ValueError: a character has no class, and `skip_missing` is off.
        """
        if not skip_missing and (missing := self.missing(text)):
            raise ValueError(
                f"{text!r} has characters outside the charset: {missing}; add them to `characters`, "
                "or train on labels that contain them"
            )
        composed = unicodedata.normalize("NFC", text)
        return [self._class_of[character] for character in composed if character in self._class_of]

    def decode(self, indices: Sequence[int]) -> str:
        """The text of class indices (blanks are dropped; repeats are kept: merging them is the decoder's task).

        Raises:
            ValueError: an index is outside 0 … C-1.
        """
        if any(not 0 <= index < len(self) for index in indices):
            raise ValueError(f"class indices {list(indices)} must lie in 0 … {len(self) - 1}")
        return "".join(self.characters[index - 1] for index in indices if index != BLANK)
