"""The CTC loss and the confidence of a reading, against the sum over all paths, each written out."""

import math
from itertools import groupby, product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hwrlib.charset import Charset
from hwrlib.collate import Batch
from hwrlib.ctc import Symbol, ctc_loss, frames_needed, greedy_decode, greedy_symbols, merge_repeats, text_log_probabilities
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.models.recognizer import Recognizer


def text_log_probability(log_probs: Tensor, text: list[int]) -> Tensor:
    """ln P(text): of all C^T paths (T, C), those that collapse to the text, added up."""
    frames, classes = log_probs.shape
    paths = [
        path for path in product(range(classes), repeat=frames) if [index for index, _ in groupby(path) if index] == text
    ]
    return log_probs[torch.arange(frames), torch.tensor(paths).long().reshape(-1, frames)].sum(1).logsumexp(0)


def batch_of(texts: list[list[int]]) -> Batch:
    targets = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.int64)
    for n, text in enumerate(texts):
        targets[n, : len(text)] = torch.tensor(text)
    return Batch(
        torch.empty(0),
        torch.empty(0),
        targets,
        torch.tensor([len(text) for text in texts]),
        tuple("".join("_ABC"[index] for index in text) for text in texts),
        tuple(f"{n}.png" for n in range(len(texts))),
    )


def random_log_probs(frames: int, lines: int, classes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(frames, lines, classes, dtype=torch.float64, generator=generator).mul(2).log_softmax(-1)


TEXTS = [[1, 2, 3], [1, 1], [2, 2, 1], [3], [2, 2, 2], []]
LENGTHS = torch.tensor([6, 3, 5, 1, 5, 4])


def test_the_enumeration_adds_up_to_one():
    log_probs = random_log_probs(4, 1, 3)[:, 0]
    texts = {tuple(index for index, _ in groupby(path) if index) for path in product(range(3), repeat=4)}
    total = sum(text_log_probability(log_probs, list(text)).exp() for text in texts)
    assert float(total) == pytest.approx(1)


def test_loss_is_the_sum_over_all_paths():
    log_probs = random_log_probs(6, len(TEXTS), 4)
    losses = ctc_loss(log_probs, batch_of(TEXTS), LENGTHS)
    for n, (text, length) in enumerate(zip(TEXTS, LENGTHS)):
        expected = -text_log_probability(log_probs[:length, n], text) / max(len(text), 1)
        assert float(losses[n]) == pytest.approx(float(expected), rel=1e-9), text


def test_gradient_is_that_of_the_sum_over_all_paths():
    logits = random_log_probs(6, len(TEXTS), 4, seed=1).requires_grad_()
    ctc_loss(logits.log_softmax(-1), batch_of(TEXTS), LENGTHS).sum().backward()
    ours, logits.grad = logits.grad, None
    log_probs = logits.log_softmax(-1)
    sum(
        -text_log_probability(log_probs[:length, n], text) / max(len(text), 1)
        for n, (text, length) in enumerate(zip(TEXTS, LENGTHS))
    ).backward()
    torch.testing.assert_close(ours, logits.grad, rtol=1e-9, atol=1e-12)


def test_gradient_is_the_slope_of_the_loss():
    logits, batch = random_log_probs(5, 1, 4, seed=2).requires_grad_(), batch_of([[2, 2, 1]])
    loss = ctc_loss(logits.log_softmax(-1), batch, torch.tensor([5])).sum()
    loss.backward()
    for t, c in product(range(5), range(4)):
        step = torch.zeros_like(logits)
        step[t, 0, c] = 1e-5
        up, down = (
            float(ctc_loss((logits + sign * step).log_softmax(-1), batch, torch.tensor([5])).sum().detach())
            for sign in (1, -1)
        )
        assert float(logits.grad[t, 0, c]) == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("text, frames", [("", 0), ("A", 1), ("LEA", 3), ("LLAMA", 6), ("AAAA", 7)])
def test_frames_needed(text, frames):
    assert frames_needed([ord(character) for character in text]) == frames


def test_frames_needed_is_where_paths_begin_to_exist():
    for text in ([1], [1, 2], [1, 1], [1, 1, 1], [1, 2, 2]):
        needed = frames_needed(text)
        probabilities = [
            float(text_log_probability(random_log_probs(frames, 1, 3)[:, 0], text).exp()) for frames in range(1, 7)
        ]
        assert [probability > 0 for probability in probabilities] == [frames >= needed for frames in range(1, 7)]


def test_too_few_frames_name_the_samples():
    batch = batch_of([[1, 2], [1, 1], [3, 3, 3]])
    with pytest.raises(ValueError) as error:
        ctc_loss(random_log_probs(4, 3, 4), batch, torch.tensor([2, 2, 4]))
    message = str(error.value)
    assert "1.png: 2 frames < 3 needed for 'AA'" in message and "2.png: 4 frames < 5 needed for 'CCC'" in message
    assert "0.png" not in message and "widen the images" in message


def test_confidence_is_the_probability_of_the_text():
    normalisation = Normalisation(height=8, max_width=24, min_width=24)  # 24 px: six frames
    texts = set()
    for seed in range(8):
        torch.manual_seed(seed)
        model = CRNN(4, width=8, hidden=8)
        model.classifier.weight.data *= 40  # an untrained model that is sure of something,
        model.classifier.bias.data.zero_()  # and not always of the blank
        recognizer = Recognizer(model, Charset("ABC"), normalisation)
        image = np.where(np.random.default_rng(seed).random((12, 40)) < 0.3, 0, 255).astype(np.uint8)
        reading, (log_probs,) = recognizer.read(image), recognizer.log_probs([image])
        assert log_probs.shape == (6, 4)
        expected = math.exp(text_log_probability(torch.from_numpy(log_probs), recognizer.charset.encode(reading.text)))
        assert reading.confidence == pytest.approx(expected, rel=1e-4)
        texts.add(reading.text)
    assert len(texts) > 3 and max(map(len, texts)) > 1


def log_probs_of(*lines: list[int], classes: int = 4, sure: float = 0.7) -> torch.Tensor:
    """(T, N, C): the given class of each frame has probability ``sure``, the others share the rest."""
    best = torch.tensor(lines).T  # (T, N)
    probabilities = torch.full((*best.shape, classes), (1 - sure) / (classes - 1))
    return probabilities.scatter(2, best[..., None], sure).log()


@pytest.mark.parametrize(
    "frames, text",
    [
        ([0, 0, 0], []),
        ([1, 1, 1], [1]),
        ([1, 0, 1], [1, 1]),
        ([1, 2, 1], [1, 2, 1]),
        ([0, 1, 1, 0, 0, 1, 2, 2, 0], [1, 1, 2]),
        ([3], [3]),
    ],
)
def test_repeats_collapse_and_blanks_fall(frames, text):
    assert greedy_decode(log_probs_of(frames), torch.tensor([len(frames)])) == [text]


def test_frames_past_a_length_are_not_read():
    log_probs = log_probs_of([1, 0, 2, 2], [3, 3, 1, 1])
    assert greedy_decode(log_probs, torch.tensor([4, 2])) == [[1, 2], [3]]
    assert greedy_decode(log_probs, torch.tensor([0, 3])) == [[], [3, 1]]


def test_symbols_keep_their_frames_and_the_highest_probability():
    log_probs = log_probs_of([0, 2, 2, 0, 1])
    log_probs[2, 0] = torch.tensor([0.02, 0.04, 0.9, 0.04]).log()
    ((first, second),) = greedy_symbols(log_probs, torch.tensor([5]))
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
    losses = F.ctc_loss(log_probs.double(), targets, lengths, torch.tensor([len(text) for text in texts]), reduction="none")
    assert text_log_probabilities(log_probs, lengths, texts) == pytest.approx(-losses.numpy(), rel=1e-5)


def test_a_text_that_does_not_fit_its_frames_is_impossible():
    log_probs = np.log(np.full((2, 2, 3), 1 / 3))
    assert text_log_probabilities(log_probs, np.array([2, 2]), [[1, 1], [1, 2]]) == pytest.approx([-np.inf, -np.log(9)])


def test_text_probabilities_of_long_lines_do_not_underflow():
    log_probs = log_probs_of([1, 0] * 600, sure=0.9).double()
    (value,) = text_log_probabilities(log_probs, np.array([1200]), [[1] * 600])
    assert 1200 * np.log(0.9) <= value < 0


def test_the_confidence_of_a_symbol_is_the_highest_of_its_frames():
    (symbol,) = merge_repeats([0, 1, 1, 1, 0], [0.9, 0.4, 0.8, 0.5, 0.9])
    assert symbol == (1, 1, 3, 0.8)
