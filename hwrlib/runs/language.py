"""The language of a training: fitted to its labels, and to further texts if these make the validation labels likelier.

    python -m hwrlib.runs.language runs/mine --data data/mine
    python -m hwrlib.runs.language runs/mine --data data/mine --text more_text.txt --order 8

`leave_language` fits it, weighs it against the network (`hwrlib.language.tuning`), and saves both beside the model.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hwrlib.charset import Charset
from hwrlib.common.progress import logger
from hwrlib.images import pad
from hwrlib.language.base import Language
from hwrlib.language.character_model import MAX_ORDER, CharacterModel
from hwrlib.language.lexicon import respelled
from hwrlib.language.trie import MAX_LENGTH
from hwrlib.language.tuning import Frames, Tuned, tune
from hwrlib.language.words import Words, split_words
from hwrlib.models.locate import find_checkpoint
from hwrlib.models.recognizer import LANGUAGE_SUFFIX, Recognizer
from hwrlib.reader import frames_of
from hwrlib.sets.corrections import apply_decisions
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import decode, parse_labels

HELD_OUT = 1000  # validation lines that are used at most
BATCH = 64  # lines that go through the network together
ORDER = 6  # characters of an n-gram
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)  # probabilities that a word is in the list
SOFTENED = 0.5  # power of the frequencies of a list, which come from elsewhere


def fit_language(
    labels: Sequence[str],
    charset: Charset,
    *,
    held_out: Sequence[str],
    order: int = ORDER,
    more: Sequence[str] | Mapping[str, float] = (),
) -> Language:
    """An n-gram of the labels and a list of their words, each with as much of the further texts as helps.

    Args:
        labels: of the training split.
        charset: of the recogniser.
        held_out: texts of the same kind, by whose probability all is decided: those of the validation split.
        order: characters of an n-gram.
        more: further texts; or words or names with their frequencies.
    Raises:
        ValueError: the labels hold no character of the charset.
    """
    held_out = [text for text in held_out[:HELD_OUT] if not charset.missing(text)]
    if isinstance(more, Mapping):
        more, _ = respelled(more, charset, skip=True)
    counts, further = Counter(labels), _counts(more, total=len(labels))
    sources = [counts, counts + further] if further else [counts]  # without and with the further texts
    n_grams = [_n_gram(source, charset, order) for source in sources]
    base = _likeliest(n_grams, held_out)
    words = _word_frequencies(counts)
    lists = [words, _mixed(words, _word_frequencies(further))] if further else [words]
    with_words = [Words(frequencies, base) for frequencies in lists if frequencies]
    candidates = [language.with_share(share) for language in with_words for share in SHARES]
    return _likeliest([base, *candidates], held_out).adapted_to(charset)  # once, and not whenever it is loaded


def _counts(texts: Sequence[str] | Mapping[str, float], *, total: float) -> Counter[str]:
    """How often each text counts; frequencies that come from elsewhere are evened out and scaled to a total."""
    if not (texts and isinstance(texts, Mapping)):
        return Counter(texts)
    softened = {text: frequency**SOFTENED for text, frequency in texts.items()}
    scale = total / sum(softened.values())
    return Counter({text: scale * weight for text, weight in softened.items()})


def _n_gram(counts: Mapping[str, float], charset: Charset, order: int) -> CharacterModel:
    weights = [max(weight, 1.0) for weight in counts.values()]  # Kneser-Ney's discount would eat up fractions of a count
    return CharacterModel.fit(list(counts), weights=weights, charset=charset, order=order)


def bits_per_character(language: Language, texts: Sequence[str]) -> float:
    """How well a language predicts texts, their ends included: log2 of its perplexity."""
    characters = sum(len(text) + 1 for text in texts)
    return -sum(map(language.log_prob, texts)) / max(characters, 1) / math.log(2)


def _likeliest(languages: Sequence[Language], held_out: Sequence[str]) -> Language:
    return min(languages, key=lambda language: bits_per_character(language, held_out))


def _word_frequencies(texts: Mapping[str, float]) -> dict[str, float]:
    words: dict[str, float] = {}
    for text, weight in texts.items():
        for word in split_words(text):
            if len(word) > MAX_LENGTH:  # no word, and no reason to end a training with an error
                continue
            words[word] = words.get(word, 0.0) + weight
    return words


def _mixed(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Two lists as one in which both have the same total."""
    totals = sum(first.values()) or 1.0, sum(second.values()) or 1.0
    return {
        word: first.get(word, 0.0) / totals[0] + second.get(word, 0.0) / totals[1]
        for word in dict.fromkeys([*first, *second])
    }


def read_texts(path: str | Path) -> list[str] | dict[str, float]:
    """The texts of a file: one per line, or those of a CSV or TSV file with the columns `text` and `frequency`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no text in it, a column is missing, or a frequency is not a number above 0.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of texts")
    if path.suffix.lower() not in (".csv", ".tsv"):
        lines = [line.strip() for line in decode(path.read_bytes(), name=str(path)).splitlines()]
        found: list[str] | dict[str, float] = [line for line in lines if line]
    else:
        table = parse_labels(path.read_bytes(), name=str(path), columns={"text": "text", "frequency": "frequency"})
        found = {}
        for number, (text, frequency) in enumerate(zip(table["text"], table["frequency"]), start=2):
            found[text] = found.get(text, 0.0) + _frequency(frequency, f"{path}, row {number}")
        found.pop("", None)
    if not found:
        raise ValueError(f"{path}: no text in this file")
    return found


def _frequency(cell: str, place: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{place}: the frequency must be a number above 0, not {cell!r}")
    return value


# A whole run ---------------------------------------------------------------------------------------------------------


def leave_language(
    recognizer: Recognizer,
    checkpoint: str | Path,
    labels: Sequence[str],
    validation: LineDataset,
    *,
    order: int = ORDER,
    more: Sequence[str] | Mapping[str, float] = (),
) -> Tuned:
    """Fit a language to a trained model, tune it, and save it beside the model.

    Args:
        recognizer: the model.
        checkpoint: its file, `.pth` or `.onnx`; the language gets this name with the suffix `.lm`.
        labels: that the model was trained on.
        validation: lines that it was not trained on; at most a thousand are used.
        order: characters of an n-gram.
        more: further texts, as `fit_language` takes them.
    Raises:
        WriteError: the disk is full or read-only.
    """
    chosen = np.random.default_rng(0).permutation(len(validation))[:HELD_OUT]
    texts, frames = [validation.texts[i] for i in chosen], _frames(recognizer, validation, chosen)
    language = fit_language(labels, recognizer.charset, held_out=texts, order=order, more=more)
    tuned = tune(language, frames, texts, recognizer.charset)
    tuned.decoder.save(Path(checkpoint).with_suffix(LANGUAGE_SUFFIX))
    logger.info(
        "language model: validation CER %.2f %% without it, %.2f %% with it, exact %.1f and %.1f %%%s",
        *(100 * value for pair in zip(tuned.greedy[:3:2], tuned.tuned[:3:2]) for value in pair),
        "" if tuned.decoder.language else "; it does not help and is not used",
    )
    return tuned


def _frames(recognizer: Recognizer, dataset: LineDataset, chosen: np.ndarray) -> Frames:
    """The frames of these lines of a data set."""
    frames: dict[int, np.ndarray] = {}
    order = chosen[np.argsort(dataset.widths[chosen], kind="stable")]
    for first in range(0, len(order), BATCH):
        lines = order[first : first + BATCH].tolist()
        log_probs, lengths = frames_of(recognizer.model, *pad([dataset[line].ink for line in lines]))  # (T, N, C), (N,)
        for n, (line, length) in enumerate(zip(lines, lengths.tolist())):
            frames[line] = log_probs[:length, n].copy()
    return [frames[line] for line in chosen.tolist()]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    logger.setLevel(logging.INFO)
    try:
        checkpoint = find_checkpoint(options.checkpoint)
        texts = read_texts(options.text) if options.text else ()
        recognizer = Recognizer.from_checkpoint(checkpoint, decoder=None)
        labels = LineDataset(options.data, "train", recognizer.normalisation).texts
        validation = LineDataset(options.data, "validation", recognizer.normalisation)
        if options.corrections:
            apply_decisions(validation, options.corrections)
        decoder = leave_language(recognizer, checkpoint, labels, validation, order=options.order, more=texts).decoder
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    file = checkpoint.with_suffix(LANGUAGE_SUFFIX)
    print(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB; weight {decoder.weight}, bonus {decoder.bonus}, "
        f"temperature {decoder.of_texts.temperature}; {len(labels):,} labels, {len(texts):,} further texts"
        f"{' with frequencies' if isinstance(texts, Mapping) else ''}"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hwrlib.runs.language", description="Fit a language to a trained model and save it beside the model."
    )
    parser.add_argument("checkpoint", help="shipped weights by name, a checkpoint file, or a run's folder")
    parser.add_argument("--data", required=True, help="the data set that the model was trained on")
    parser.add_argument("--text", help="further texts: one per line, or a CSV file with the columns text and frequency")
    parser.add_argument(
        "--order",
        type=int,
        choices=range(1, MAX_ORDER + 1),
        default=ORDER,
        metavar="N",
        help="of the n-grams (default: %(default)s)",
    )
    parser.add_argument("--corrections", help="decisions on labels of the validation split (notebook 05)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
