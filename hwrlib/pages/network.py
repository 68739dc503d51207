"""A small convolutional network that sees where lines of writing are: four maps at a quarter of the page's resolution.

The maps are those of PERO's ParseNet (Kodym and Hradiš, "Page Layout Analysis System for Unconstrained Historic Documents",
2021): the baselines, their ends, and at each baseline how far the line reaches above and below it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwrlib.pages.maps import ABOVE, BASELINE

UNIT = 16.0  # px of the maps; heights are learnt as fractions of it


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them."""

    def __init__(self, channels: int, *, dilation: int = 1):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            convolution = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


def down(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    """A convolution that halves the resolution."""
    convolution = nn.Conv2d(inputs, outputs, size, stride=2, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class LineNetwork(nn.Module):
    """Ink (N, 1, H, W) in 0 ... 1 to four maps (N, 4, H / 4, W / 4); H and W are multiples of `DEPTH`.

    Down to a sixteenth of the resolution, where dilated convolutions see 500 px around, and up again.
    """

    def __init__(self, channels: tuple[int, int, int, int] = (16, 24, 48, 64)):
        super().__init__()
        half, quarter, eighth, sixteenth = channels
        self.stem = down(1, half, 7)  # 1/2
        self.quarter = nn.Sequential(down(half, quarter), Block(quarter))  # 1/4
        self.eighth = nn.Sequential(down(quarter, eighth), Block(eighth), Block(eighth))  # 1/8
        self.sixteenth = nn.Sequential(  # 1/16
            down(eighth, sixteenth), *(Block(sixteenth, dilation=d) for d in (1, 2, 4, 2))
        )
        self.to_eighth = nn.Conv2d(sixteenth, eighth, 1)
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.merge_eighth, self.merge_quarter = Block(eighth), Block(quarter)
        self.maps = nn.Conv2d(quarter, 4, 1)

    def forward(self, ink: Tensor) -> Tensor:
        quarter = self.quarter(self.stem(ink))
        eighth = self.eighth(quarter)
        up = F.interpolate(self.to_eighth(self.sixteenth(eighth)), scale_factor=2.0, mode="nearest")
        eighth = self.merge_eighth(eighth + up)
        up = F.interpolate(self.to_quarter(eighth), scale_factor=2.0, mode="nearest")
        return self.maps(self.merge_quarter(quarter + up))  # logits of the first two; heights in UNITs


def finished(maps: Tensor) -> Tensor:
    """The network's output as probabilities and px of the maps."""
    return torch.cat([maps[:, :ABOVE].sigmoid(), maps[:, ABOVE:].clamp(min=0) * UNIT], dim=1)


def loss(maps: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """How far maps are from their targets (N, 4, H, W); `weight` (N, 1, H, W) is 0 where nothing is known.

    Cross-entropy and Dice for the thin baselines and ends, which are few pixels among many; the heights count where a
    baseline is.
    """
    logits, wanted = maps[:, :ABOVE], targets[:, :ABOVE]
    balance = torch.tensor([4.0, 12.0], device=maps.device).view(1, 2, 1, 1)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, weight=weight * (1 + balance * wanted))
    probability = logits.sigmoid() * weight
    both = (probability * wanted).sum(dim=(0, 2, 3))
    dice = 1 - (2 * both + 1) / (probability.sum(dim=(0, 2, 3)) + (wanted * weight).sum(dim=(0, 2, 3)) + 1)
    known = (targets[:, BASELINE : BASELINE + 1] > 0.3) * weight
    heights = F.smooth_l1_loss(maps[:, ABOVE:] * known, targets[:, ABOVE:] / UNIT * known, beta=0.1, reduction="sum")
    return entropy + dice[0] + 0.3 * dice[1] + heights / (known.sum() + 1)
