"""Words to write: few of them, in which every letter comes about equally often."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

CANDIDATES = 50  # words that are compared for each that is chosen
LENGTHS = range(3, 11)  # characters: not too short to be worth the trouble, not too long for the pad


def choose_prompts(words: Iterable[str], count: int, *, seed: int = 0) -> list[str]:
    """Choose words so that rare letters occur nearly as often as frequent ones.

    Args:
        words: to choose from.
        count: how many.
        seed: of the words that are compared.
    Returns:
        Different words. Each is the one of fifty random words whose letters have occurred least in those before it.
    Raises:
        ValueError: there are fewer words of 3 to 10 characters.
    """
    left = sorted({word for word in words if len(word) in LENGTHS})
    if count > len(left):
        raise ValueError(
            f"{count} words to choose from {len(left)} of {LENGTHS[0]} to {LENGTHS[-1]} characters; give more words"
        )
    rng, seen, chosen = np.random.default_rng(seed), Counter(), []
    while len(chosen) < count:
        places = rng.choice(len(left), min(CANDIDATES, len(left)), replace=False)
        best = min(places.tolist(), key=lambda place: _frequency(left[place], seen))
        chosen.append(left.pop(best))
        seen.update(chosen[-1])
    return chosen


def _frequency(word: str, seen: Counter) -> float:
    """How often the letters of a word have occurred, on average; a letter that is twice in it has occurred once more."""
    inside: Counter = Counter()
    total = 0
    for letter in word:
        total += seen[letter] + 3 * inside[letter]
        inside[letter] += 1
    return total / len(word)


def letter_counts(words: Sequence[str]) -> dict[str, int]:
    """How often each letter occurs in words, the most frequent first."""
    return dict(Counter("".join(words)).most_common())
