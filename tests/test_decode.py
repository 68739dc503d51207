"""hwrlib.decode: greedy decoding by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hwrlib.decode import Symbol, greedy_decode, greedy_symbols, text_log_probabilities


def log_probs_of(*lines: list[int], classes: int = 4, sure: float = 0.7) -> torch.Tensor:
    """(T, N, C): the given class of each frame has probability ``sure``, the others share the rest."""
    best = torch.tensor(lines).T                                    # (T, N)
    probabilities = torch.full((*best.shape, classes), (1 - sure) / (classes - 1))
    return probabilities.scatter(2, best[..., None], sure).log()


@pytest.mark.parametrize("frames, text", [
    ([0, 0, 0], []),
    ([1, 1, 1], [1]),
    ([1, 0, 1], [1, 1]),
    ([1, 2, 1], [1, 2, 1]),
    ([0, 1, 1, 0, 0, 1, 2, 2, 0], [1, 1, 2]),
    ([3], [3]),
])
def test_repeats_collapse_and_blanks_fall(frames, text):
    assert greedy_decode(log_probs_of(frames), torch.tensor([len(frames)])) == [text]


def test_frames_past_a_length_are_not_read():
    log_probs = log_probs_of([1, 0, 2, 2], [3, 3, 1, 1])
    assert greedy_decode(log_probs, torch.tensor([4, 2])) == [[1, 2], [3]]
    assert greedy_decode(log_probs, torch.tensor([0, 3])) == [[], [3, 1]]


def test_symbols_keep_their_frames_and_the_highest_probability():
    log_probs = log_probs_of([0, 2, 2, 0, 1])
    log_probs[2, 0] = torch.tensor([0.02, 0.04, 0.9, 0.04]).log()
    (first, second), = greedy_symbols(log_probs, torch.tensor([5]))
    assert first[:3] == (2, 1, 2) and first.confidence == pytest.approx(0.9)
    assert second[:3] == (1, 4, 4) and second.confidence == pytest.approx(0.7)
    assert isinstance(first, Symbol)


def test_a_length_beyond_the_frames_is_refused():
    with pytest.raises(ValueError, match="reach 4, but there are 3 frames"):
        greedy_decode(log_probs_of([0, 1, 2]), torch.tensor([4]))


def test_no_lines():
    assert greedy_decode(torch.zeros(5, 0, 4), torch.zeros(0, dtype=torch.int64)) == []


@pytest.mark.parametrize("seed", range(4))
def test_text_log_probabilities_are_the_ctc_loss_read_backwards(seed):
    torch.manual_seed(seed)
    texts = [[1, 2, 3], [2, 2], [], [1], [3, 3, 3, 1]]
    lengths = torch.tensor([9, 4, 6, 1, 12])
    log_probs = (3 * torch.randn(12, 5, 4)).log_softmax(-1)
    targets = torch.nn.utils.rnn.pad_sequence([torch.tensor(text, dtype=torch.int64) for text in texts], True)
    losses = F.ctc_loss(log_probs.double(), targets, lengths, torch.tensor([len(text) for text in texts]),
                        reduction="none")
    assert text_log_probabilities(log_probs, lengths, texts) == pytest.approx(-losses.numpy(), rel=1e-5)


def test_a_text_that_does_not_fit_its_frames_is_impossible():
    log_probs = np.log(np.full((2, 2, 3), 1 / 3))
    assert text_log_probabilities(log_probs, np.array([2, 2]), [[1, 1], [1, 2]]) == pytest.approx([-np.inf, -np.log(9)])


def test_text_probabilities_of_long_lines_do_not_underflow():
    log_probs = log_probs_of([1, 0] * 600, sure=0.9).double()
    value, = text_log_probabilities(log_probs, np.array([1200]), [[1] * 600])
    assert 1200 * np.log(0.9) <= value < 0
