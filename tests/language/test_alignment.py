"""hwrlib.language.alignment: which frames show which character."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from hwrlib.ctc import merge_repeats
from hwrlib.language import forced_alignment
from tests.language.examples import sure_frames, unsure_frames


@pytest.mark.parametrize("seed", range(10))
def test_the_alignment_is_the_best_path_of_the_text(seed):
    log_probs, text = unsure_frames(6, 1, 3, seed=seed), [1, 2, 2]
    paths = [
        p for p in itertools.product(range(3), repeat=6) if [s.index for s in merge_repeats(list(p), [0.0] * 6)] == text
    ]
    best = max(paths, key=lambda path: sum(log_probs[range(6), 0, list(path)]))
    probabilities = np.exp(log_probs[range(6), 0, list(best)]).tolist()
    assert forced_alignment(log_probs, np.array([6]), [text]) == [merge_repeats(list(best), probabilities)]


def test_lines_of_several_lengths_are_aligned_together():
    log_probs, lengths, texts = unsure_frames(9, 3, 4, seed=2), np.array([9, 5, 0]), [[1, 2, 3, 3], [2], []]
    together = forced_alignment(log_probs, lengths, texts)
    assert [[symbol.index for symbol in line] for line in together] == texts
    for n, length in enumerate(lengths):
        assert forced_alignment(log_probs[:length, n : n + 1], lengths[n : n + 1], [texts[n]]) == [together[n]]


def test_a_greedy_text_has_greedy_frames():
    log_probs = sure_frames([0, 1, 1, 0, 1, 2, 0], 3)
    symbols = forced_alignment(log_probs, np.array([7]), [[1, 1, 2]])[0]
    assert [(s.index, s.first_frame, s.last_frame) for s in symbols] == [(1, 1, 2), (1, 4, 4), (2, 5, 5)]


def test_a_text_too_long_for_its_frames_is_a_clear_error():
    with pytest.raises(ValueError, match="line 0: 3 of 3 frames, but its text needs 4"):
        forced_alignment(unsure_frames(3, 1, 3), np.array([3]), [[1, 1, 2]])


def test_no_torch_is_imported():
    subprocess.run([sys.executable, "-c", "import sys, hwrlib.language; assert 'torch' not in sys.modules"], check=True)
