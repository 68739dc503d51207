"""What a text is likely to be, whatever the image shows: language models, lists of words, and beam search with them.

    character_model  an n-gram over characters, fitted to texts in seconds (its probabilities: kneser_ney)
    words            known words within a text, beside a language that can spell any other (their letters: trie)
    lexicon          the known values of a field
    mixture          several languages together
    beam             prefix beam search: the texts that image and language together find likeliest
    alignment        the frames of every character of such a text
    decoder          a language with its weight and temperature, as `Recognizer.read` uses it; saved beside a model as `.lm`
    tuning           its weight, and the calibration of its confidence, chosen on a validation split

All of it is NumPy and plain Python: reading with ONNX Runtime needs no torch. `python -m hwrlib.runs.language` fits a
language to a trained model.
"""

from hwrlib.language.alignment import forced_alignment
from hwrlib.language.base import Language
from hwrlib.language.beam import Beam, beam_decode
from hwrlib.language.character_model import CharacterModel
from hwrlib.language.decoder import Calibration, Decoder
from hwrlib.language.lexicon import Lexicon
from hwrlib.language.mixture import Mixture
from hwrlib.language.words import Words

__all__ = [
    "Beam",
    "Calibration",
    "CharacterModel",
    "Decoder",
    "Language",
    "Lexicon",
    "Mixture",
    "Words",
    "beam_decode",
    "forced_alignment",
]
