"""hwrlib.collate: the order of lines in an epoch, and lines padded to one batch."""

import numpy as np
import pytest
import torch

from hwrlib.charset import BLANK, Charset
from hwrlib.collate import BucketSampler, Sample, ctc_collate, eval_loader, train_loader
from hwrlib.images import WIDTH_STEP
from hwrlib.sets.dataset import JoinedLines, LineDataset
from tests.core.examples import opened

# Batches -------------------------------------------------------------------------------------------------------------

WIDTHS = np.random.default_rng(0).integers(32, 257, 1003)


def batches_at(epoch: int, *, start: int = 0, seed: int = 0) -> list[list[int]]:
    sampler = BucketSampler(WIDTHS, 8, seed=seed)
    sampler.start_at(epoch, start=start)
    return list(sampler)


def test_every_line_comes_once():
    batches = batches_at(0)
    assert sorted(sum(batches, [])) == list(range(1003))
    assert len(batches) == len(BucketSampler(WIDTHS, 8)) == 126 and sorted(map(len, batches)) == [3] + [8] * 125


def test_the_order_follows_from_seed_and_epoch_alone():
    assert batches_at(2) == batches_at(2)
    assert len({str(batches_at(epoch, seed=seed)) for epoch in range(3) for seed in range(3)}) == 9


def test_an_epoch_can_be_taken_up_in_its_midst():
    assert batches_at(1, start=50) == batches_at(1)[50:] and batches_at(1, start=126) == []


def test_lines_are_drawn_as_often_as_their_shares_say():
    shares = np.repeat([0.4, 1.0, 2.8], [500, 303, 200])
    shares = shares / shares.mean()
    counts = np.zeros((50, 1003))
    for epoch in range(50):
        sampler = BucketSampler(WIDTHS, 8, shares=shares)
        sampler.start_at(epoch)
        batches = list(sampler)
        assert list(map(len, batches)).count(8) == 125 and len(batches) == 126
        np.add.at(counts[epoch], sum(batches, []), 1)
    assert (abs(counts - shares) < 1).all()  # once or twice, never thrice
    assert abs(counts.mean(0) - shares).max() < 0.3  # and each line in its turn


def test_writers_with_few_lines_are_drawn_more_often(folder, tmp_path, write_split):
    def with_writers(folder, writers: list[str]) -> LineDataset:
        table = folder / "train.csv"
        rows = table.read_text(encoding="utf-8").splitlines()
        table.write_text("\n".join(map(",".join, zip(rows, ["WRITER", *writers]))), encoding="utf-8")
        return opened(folder)

    write_split(tmp_path / "more", "train", ["ELLE", "A"])
    first = with_writers(folder, ["Anne"] * 16 + ["Léon"] * 4 + [f"one {i}" for i in range(10)])
    joined = JoinedLines([first, with_writers(tmp_path / "more", ["Anne", "Anne"])])
    assert joined.shares(0) is None
    shares = joined.shares(0.5)
    np.testing.assert_allclose(shares / shares[25], np.repeat([1 / 4, 1 / 2, 1, 2**-0.5], [16, 4, 10, 2]))
    assert np.isclose(shares.mean(), 1)
    assert np.isclose(joined.shares(1.0)[:16].sum(), joined.shares(1.0)[16:20].sum())
    first.select(np.arange(10, 30), "for a test")
    assert first.writers[:7] == ["Anne"] * 6 + ["Léon"] and len(joined.shares(0.5)) == len(
        JoinedLines(joined.datasets).shares(0.5)
    )


def test_balance_needs_the_writers(folder):
    with pytest.raises(ValueError, match=r"train.csv: `balance` needs the column WRITER with a name in every row"):
        JoinedLines([opened(folder)]).shares(0.5)


def test_lines_of_like_width_stand_together():
    def padding(batches: list[list[int]]) -> float:
        padded = sum(len(batch) * WIDTHS[batch].max() for batch in batches)
        return padded / WIDTHS.sum() - 1

    shuffled = np.random.default_rng(1).permutation(1003)
    assert padding(batches_at(0)) < 0.05 < 0.4 < padding(np.array_split(shuffled, 126))


def test_training_loader_gives_the_sampler_s_batches(folder):
    dataset = opened(folder)
    for workers in (0, 1):
        loader = train_loader(dataset, Charset("AELNO"), batch_size=4, seed=1, workers=workers)
        loader.batch_sampler.start_at(1, start=2)
        expected = [tuple(dataset.names[i] for i in batch) for batch in loader.batch_sampler]
        assert [batch.names for batch in loader] == expected and len(expected) == 6


def test_evaluation_loader_gives_every_line_once_by_width(folder):
    loader = eval_loader(opened(folder), Charset("AELNO"), batch_size=7)
    batches = list(loader)
    assert sorted(name for batch in batches for name in batch.names) == opened(folder).names
    widths = np.concatenate([batch.image_widths for batch in batches])
    assert (np.diff(widths) >= 0).all()


# The collate ---------------------------------------------------------------------------------------------------------

CHARSET = Charset("ABC")


def sample(width: int, text: str = "A", height: int = 16) -> Sample:
    return Sample(np.full((height, width), 200, np.uint8), text, f"{text}_{width}.png")


def test_shapes_types_and_values():
    batch = ctc_collate([sample(40, "ABBA"), sample(70, "C"), sample(33, "")], charset=CHARSET)
    assert batch.images.shape == (3, 1, 16, 96) and batch.images.dtype == torch.uint8
    assert batch.image_widths.tolist() == [40, 70, 33]
    assert batch.targets.tolist() == [[1, 2, 2, 1], [3, BLANK, BLANK, BLANK], [BLANK] * 4]
    assert batch.target_lengths.tolist() == [4, 1, 0]
    assert {part.dtype for part in batch[1:4]} == {torch.int64}
    assert batch.texts == ("ABBA", "C", "") and batch.names == ("ABBA_40.png", "C_70.png", "_33.png")


def test_padding_is_paper_and_ink_stays():
    batch = ctc_collate([sample(40), sample(70)], charset=CHARSET)
    for image, width in zip(batch.images, batch.image_widths):
        assert (image[..., :width] == 200).all() and (image[..., width:] == 0).all()


@pytest.mark.parametrize("width", [1, 31, 32, 33, 255, 256])
def test_width_is_rounded_up(width):
    padded = ctc_collate([sample(width)], charset=CHARSET).images.shape[-1]
    assert padded % WIDTH_STEP == 0 and width <= padded < width + WIDTH_STEP


def test_characters_outside_the_charset_stay_in_the_text_alone():
    batch = ctc_collate([sample(32, "AÉB"), sample(32, "É")], charset=CHARSET)
    assert batch.targets.tolist() == [[1, 2], [BLANK, BLANK]] and batch.target_lengths.tolist() == [2, 0]
    assert batch.texts == ("AÉB", "É")


def test_heights_must_agree():
    with pytest.raises(ValueError, match=r"different heights \[16, 24\]"):
        ctc_collate([sample(32), sample(32, height=24)], charset=CHARSET)


# Mixture -------------------------------------------------------------------------------------------------------------


def test_a_batch_mixes_lines_from_everywhere_in_the_data_set():
    """Lines stand in a table by writer or page: a batch of neighbours would teach one hand at a time."""
    sampler = BucketSampler(np.full(800, 32), 8)
    spans = [max(batch) - min(batch) for batch in sampler]
    assert np.mean(spans) > 400  # 623 for eight lines at random, 7 for neighbours


def test_batches_come_in_random_order_of_width():
    means = np.array([WIDTHS[batch].mean() for batch in batches_at(0)])
    assert 0.35 < (np.diff(means) > 0).mean() < 0.65  # 0.98 in the order in which the buckets are cut


def test_each_epoch_draws_other_lines_for_fractional_shares():
    shares = np.full(100, 0.5)
    sampler = BucketSampler(np.full(200, 32), 8, shares=np.concatenate([shares, np.full(100, 1.5)]))
    drawn = set()
    for epoch in range(20):
        sampler.start_at(epoch)
        drawn.add(frozenset(line for line in sum(sampler, []) if line < 100))
    assert len(set().union(*drawn)) == 100 and len(drawn) == 2  # systematic: every second line, one half or the other


def test_evaluation_batches_hold_little_padding(folder):
    loader = eval_loader(opened(folder), Charset("AELNO"), batch_size=4)
    padding = [batch.image_widths.max() - batch.image_widths.min() for batch in loader]
    widths = opened(folder).widths
    assert max(padding) < widths.max() - widths.min()
