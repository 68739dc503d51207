"""Photographed paper, for training only: whole batches of ink laid on ruled or squared paper, in uneven light."""

import torch
import torch.nn.functional as F
from torch import Tensor


def photograph(images: Tensor, image_widths: Tensor, share: float) -> Tensor:
    """Some lines as a phone's camera sees them in a notebook: ruling or squares, shadow, blur, noise, pieces of other lines.

    Args:
        images: (N, 1, H, W) float ink in 0 … 1.
        image_widths: (N,) px of each image that are not padding, which stays without ink.
        share: of the lines that are photographed, 0 … 1, and of those that get pieces of others, independently.
    Returns:
        (N, 1, H, W) float ink in 0 … 1.
    """
    if share == 0:
        return images
    images, (among_others, on_paper) = images.clone(), torch.rand(2, len(images), device=images.device) < share
    inside = torch.arange(images.shape[-1], device=images.device) < image_widths.view(-1, 1, 1, 1)
    images[among_others] = torch.maximum(images, _other_lines(images) * inside)[among_others]
    images[on_paper] = _photographed(images[on_paper], image_widths[on_paper]) * inside[on_paper]
    return images


def _photographed(images: Tensor, image_widths: Tensor) -> Tensor:
    """Every line on paper of its own, photographed: (N, 1, H, W) -> the same."""
    n, _, height, width = images.shape
    device = images.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, device=device) * (high - low) + low

    x = torch.arange(width, device=device).float()
    y = torch.arange(height, device=device).float()[:, None]
    light = F.interpolate(
        torch.rand(n, 1, 2, max(width // 96, 2), device=device), (height, width), mode="bilinear", align_corners=True
    )
    edge = x - uniform(0, 1) * image_widths.view(-1, 1, 1, 1) + uniform(-1, 1) * y
    shadow = torch.sigmoid(edge / uniform(2, 30)) * (uniform(0, 1) < 0.3)
    tilt = uniform(-0.02, 0.02)
    kind = uniform(0, 3)  # below 1: plain paper; below 2: ruled; else squared
    step = height * torch.where(kind < 2, uniform(0.5, 1.1), uniform(0.12, 0.5))
    rows = _stripes(y + tilt * x, step, uniform(0, 1)) * (kind >= 1)
    columns = _stripes(x - tilt * y, step, uniform(0, 1)) * (kind >= 2)
    paper = uniform(0, 0.15) * light + uniform(0, 0.3) * shadow + uniform(0.1, 0.5) * torch.maximum(rows, columns)
    photos = 1 - (1 - images) * (1 - paper.clamp(max=0.9))
    photos = photos + uniform(0, 1) * (_blurred(photos) - photos)
    grain = F.interpolate(torch.randn(n, 1, height // 4, width // 4, device=device), (height, width), mode="bilinear")
    noise = uniform(0, 0.05) * grain + uniform(0, 0.06) * torch.randn(n, 1, height, width, device=device)
    return (photos + noise).clamp(0, 1)


def _other_lines(images: Tensor) -> Tensor:
    """Pieces of other lines of the batch, as they are seen above and below each line: (N, 1, H, W) -> the same."""
    n, _, height, width = images.shape
    found = torch.zeros_like(images)
    for direction, other in ((1, images.roll(1, 0)), (-1, images.roll(2, 0))):
        distance = (torch.rand(n, 1, device=images.device) * 0.35 + 0.65) * height * direction  # (N, 1)
        rows = (torch.arange(height, device=images.device) + distance.long()).view(n, 1, height, 1)
        inside = (rows >= 0) & (rows < height)
        moved = other.gather(2, rows.clamp(0, height - 1).expand(-1, -1, -1, width)) * inside
        found = torch.maximum(found, moved * (torch.rand(n, 1, 1, 1, device=images.device) < 0.5))
    return found


def _stripes(position: Tensor, step: Tensor, phase: Tensor) -> Tensor:
    """Lines about 1 px wide at every step: 1 in their middle."""
    distance = ((position / step + phase) % 1 - 0.5).abs() * step
    return (1.2 - distance).clamp(0, 1)


def _blurred(images: Tensor) -> Tensor:
    """Smoothed over 5 x 5 px, as a lens out of focus does."""
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 5, 1)), kernel.view(1, 1, 1, 5))
