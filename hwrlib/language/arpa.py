"""The ARPA format for n-grams, which KenLM, SRILM and others read and write: text, logarithms to the base 10.

A line break in an n-gram stands for `<s>` if it comes first, and for `</s>` if it comes last. Tokens are separated by
spaces, so that the character space is written `<space>`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hwrlib.files import atomic_write

EDGE = "\n"
UNKNOWN = "<unk>"
TOKENS = {"<s>": EDGE, "</s>": EDGE, "<space>": " ", "<UNK>": UNKNOWN, UNKNOWN: UNKNOWN}
NEVER = -99.0  # log10 of the probability of what is only a context
LOWEST = NEVER * math.log(10)
MAX_ORDER = 20

Level = dict[str, tuple[float, float]]  # n-gram -> ln P(last character | the others), ln back-off


def write(path: str | Path, levels: Sequence[Level]) -> None:
    """Write n-grams of one character, of two, and so on.

    Raises:
        WriteError: the disk is full or read-only; an old file is intact.
    """
    with atomic_write(path) as file:
        sizes = [len(level) + (order == 1) for order, level in enumerate(levels, start=1)]  # <s> and </s> are two
        header = "".join(f"ngram {order}={size}\n" for order, size in enumerate(sizes, start=1))
        file.write(f"\\data\\\n{header}".encode())
        for order, level in enumerate(levels, start=1):
            file.write(f"\n\\{order}-grams:\n".encode())
            for ngram, (log_prob, backoff) in level.items():
                for line in _lines(ngram, log_prob / math.log(10), backoff / math.log(10), order == len(levels)):
                    file.write(line.encode())
        file.write(b"\n\\end\\\n")


def _lines(ngram: str, log_prob: float, backoff: float, highest: bool) -> list[str]:
    if ngram == EDGE:  # as a prediction the end, as a context the beginning
        return [f"{log_prob:.6g}\t</s>\n", f"{NEVER:g}\t<s>" + ("\n" if highest else f"\t{backoff:.6g}\n")]
    tokens = ["<space>" if character == " " else character for character in ngram]
    tokens[0], tokens[-1] = tokens[0].replace(EDGE, "<s>"), tokens[-1].replace(EDGE, "</s>")
    return [f"{log_prob:.6g}\t{' '.join(tokens)}" + ("\n" if highest or ngram[-1] == EDGE else f"\t{backoff:.6g}\n")]


def read(path: str | Path) -> list[Level]:
    """Read n-grams; `<unk>` stays a token of its own among the single characters, longer n-grams with it are dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or a model of words; the line is named.
    """
    path, number = Path(path), 0
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such ARPA file")
    announced: list[int] = []
    counts: list[int] = []
    levels: list[Level] = []
    try:
        with open(path, encoding="utf-8", newline="\n") as file:  # no line ends at what else Python takes for a break
            for number, line in enumerate(file, start=1):  # noqa: B007, the error below names it
                line = line.rstrip("\r\n")
                if line == "\\end\\":
                    break
                if line.startswith("ngram ") and not levels:
                    announced.append(int(line.partition("=")[2]))
                elif line.startswith("\\") and line.endswith("-grams:") and len(levels) < MAX_ORDER:
                    levels.append({})
                    counts.append(0)
                elif line and levels:
                    _add(levels[-1], line, len(levels))
                    counts[-1] += 1
        if not levels or counts != announced:
            raise ValueError(f"{announced} n-grams of each length are announced, {counts} are there")
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}; is it a complete ARPA file of single characters?") from error
    return levels


def _add(level: Level, line: str, order: int) -> None:
    """Put an n-gram into its level."""
    cells = line.replace("\t", " ").split(" ")
    log_prob, backoff = float(cells[0]), float(cells[1 + order]) if len(cells) > 1 + order else 0.0
    tokens = cells[1 : 1 + order]
    if len(tokens) != order or len(cells) > 2 + order:
        raise ValueError(f"not an n-gram of {order} tokens: {line!r}")
    if not (math.isfinite(log_prob) and math.isfinite(backoff) and log_prob <= 0):
        raise ValueError(f"not the logarithm of a probability: {line!r}")
    labels = [TOKENS.get(token, token) for token in tokens]
    if words := [label for label in labels if len(label) != 1 and label != UNKNOWN]:
        raise ValueError(f"{words[0]!r} is not a single character")
    if order > 1 and (UNKNOWN in labels or "<s>" in tokens[1:] or "</s>" in tokens[:-1]):
        return
    log_prob, backoff = max(log_prob * math.log(10), LOWEST), max(backoff * math.log(10), LOWEST)
    if tokens == ["</s>"]:
        backoff = level.get(EDGE, (0.0, 0.0))[1]
    elif tokens == ["<s>"]:
        log_prob = level.get(EDGE, (LOWEST, 0.0))[0]
    level["".join(labels)] = (log_prob, backoff)
