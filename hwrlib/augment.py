"""Augmentation, for training only: whole batches at once, on the device that trains.

Every image has its own random parameters, and all distortions are one `grid_sample`: 2.3 ms for a batch of 16 names, where
`torchvision.transforms.v2`, which draws parameters once per call, takes 33 ms image by image.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, strength: float = 1.0) -> Tensor:
    """Another way of writing the same text: every image is randomly bent, slanted, moved, thickened or thinned.

    Random numbers come from torch's global state.

    Args:
        images: (N, 1, H, W) uint8 ink, 0 is paper; what moves in from outside is paper.
        strength: 0 leaves the images as they are; 0.5 suits short trainings, 1 long ones.
    Returns:
        (N, 1, H, W) float ink in 0 … 1.
    """
    images = images.float() / 255
    if strength == 0:
        return images
    images = F.grid_sample(images, _warped_grid(images, strength), align_corners=False)
    return _vary_strokes(images, strength)


def _warped_grid(images: Tensor, strength: float) -> Tensor:
    """A sampling grid (N, H, W, 2): scale, slant, rotation and shift, and a coarse elastic field on top."""
    n, _, height, width = images.shape
    device = images.device

    def spread(limit: float) -> Tensor:
        return (torch.rand(n, device=device) * 2 - 1) * limit * strength

    aspect = width / height
    slant, turn = spread(0.35), spread(0.03)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0] = 1 + spread(0.12)
    theta[:, 0, 1] = slant / aspect
    theta[:, 0, 2] = spread(0.03)
    theta[:, 1, 0] = turn * aspect
    theta[:, 1, 1] = 1 + spread(0.15)
    theta[:, 1, 2] = spread(0.12)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    knots = (torch.rand(n, 2, 4, max(width // 24, 2), device=device) * 2 - 1) * strength
    knots[:, 0] *= 5 / width  # up to 2.5 px to the sides
    knots[:, 1] *= 6 / height  # up to 3 px up and down
    field = F.interpolate(knots, size=(height, width), mode="bilinear", align_corners=True)
    return grid + field.permute(0, 2, 3, 1)


def _vary_strokes(images: Tensor, strength: float) -> Tensor:
    """Half of the lines get thicker strokes, half thinner ones; the ink fades by up to a third."""
    n = len(images)
    amount = ((torch.rand(n, 1, 1, 1, device=images.device) * 3 - 1.5) * strength).clamp(-1, 1)
    padded = F.pad(images, (1, 1, 1, 1))
    grown, shrunk = (_of_neighbours(padded, torch.maximum), _of_neighbours(padded, torch.minimum))
    images = images + amount.clamp(min=0) * (grown - images) * 0.5 + amount.clamp(max=0) * (images - shrunk) * 0.5
    return images * (1 - 0.3 * strength * torch.rand(n, 1, 1, 1, device=images.device)).clamp(min=0.1)


def _of_neighbours(padded: Tensor, extreme: Callable) -> Tensor:
    """The extreme of each pixel and its eight neighbours: (N, 1, H + 2, W + 2) -> (N, 1, H, W)."""
    rows = extreme(extreme(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return extreme(extreme(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])
