"""Small languages, frames of a network that is sure or not, and decoders of every kind."""

import numpy as np

from hwrlib.charset import Charset
from hwrlib.language import Calibration, CharacterModel, Decoder, Language, Lexicon, Mixture, Words

AB = Charset(" AB")


SMALL = Charset(" ,?abé")


PAIRS = CharacterModel.fit(["AB BA", "BA AB", "AB", "B A"], order=2, charset=AB)


ACCENTS = CharacterModel.fit(["ab é, ab", "b, éa?", "ab ba"], order=3, charset=SMALL)


def sure_frames(classes: list[int], num_classes: int, probability: float = 0.98) -> np.ndarray:
    """(T, 1, C) frames of a network that is sure of these classes."""
    probs = np.full((len(classes), 1, num_classes), (1 - probability) / (num_classes - 1))
    probs[np.arange(len(classes)), 0, classes] = probability
    return np.log(probs)


def unsure_frames(*shape: int, seed: int = 0, sharpness: float = 1.0) -> np.ndarray:
    """Log-probabilities of a network that is not sure of anything."""
    logits = np.random.default_rng(seed).normal(0, sharpness, shape)
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


def frames_of(text: str, charset: Charset, doubts: dict[int, str] | None = None, *, doubt: float = 0.4) -> np.ndarray:
    """(T, C) frames that spell a text, a blank after every character; a doubtful place shows another character, too."""
    probs = np.full((2 * len(text), len(charset)), 1e-5)
    probs[1::2, 0] = 1.0
    probs[np.arange(0, len(probs), 2), charset.encode(text)] = 1.0
    for place, other in (doubts or {}).items():
        probs[2 * place, charset.encode(text[place])] = 1 - doubt
        probs[2 * place, charset.encode(other)] = doubt
    return np.log(probs / probs.sum(1, keepdims=True))


def decode_one(decoder: Decoder, frames: np.ndarray, charset: Charset, **options):
    return decoder.decode(frames[:, None], np.array([len(frames)]), charset, **options)[0]


def state_after(language: Language, text: str):
    state = language.start
    for character in text:
        _, state = language.advance(state, character)
    return state


# Decoding ------------------------------------------------------------------------------------------------------------

NAMES = Charset(" ÉABCDLNOEZ")


DECODERS = {
    "no language": Decoder(None),
    "n-gram": Decoder(CharacterModel.fit(["ANNE", "LEO", "ZOÉ", "LÉO BA"], order=3, charset=NAMES)),
    "words": Decoder(Words(["Anne", "Zoé"], CharacterModel.fit(["LEO", "ZOÉ"], charset=NAMES)), weight=0.7),
    "list": Decoder(Lexicon(["Anne", "Léo", "Zoé"]), weight=1.0, bonus=0.0),
    "mixture": Decoder(Mixture([(1, Lexicon(["ANNE", "LEO BA"])), (1, CharacterModel.uniform(NAMES))]), beam=4),
    "calibrated": Decoder(None, of_texts=Calibration(2.0, -0.5), of_words=Calibration(0.5, 1.0)),
}


# Fitting -------------------------------------------------------------------------------------------------------------

FRENCH = Charset(" ',-abcdefghilmnopqrstuvzéèêL")
