"""What a text is likely to be, whatever the image shows: language models, lists of words, and beam search with them.

    character_model  an n-gram over characters, fitted to texts in seconds (its probabilities: kneser_ney; ARPA files: arpa)
    lexicon          the known values of a field
    mixture          several of these together, as for names: a list of names and an n-gram for the others
    beam             prefix beam search: the texts that image and language together find likeliest
    alignment        the frames of every character of such a text, for `Recognizer.read(images, language=...)`

All of it is NumPy and plain Python: reading with ONNX Runtime needs no torch.
"""

from hwrlib.language.alignment import beam_symbols, forced_alignment
from hwrlib.language.base import Language
from hwrlib.language.beam import Beam, beam_decode
from hwrlib.language.character_model import CharacterModel
from hwrlib.language.lexicon import Lexicon
from hwrlib.language.mixture import Mixture

__all__ = ["Beam", "CharacterModel", "Language", "Lexicon", "Mixture", "beam_decode", "beam_symbols", "forced_alignment"]
