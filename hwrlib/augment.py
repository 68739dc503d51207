"""Augmentation, for training only: whole batches at once, on the device that trains.

`augment` varies how a text is written, `erase` hides pieces of it.

Every image has its own random parameters, and all distortions are one `grid_sample`: 2.3 ms for a batch of 16 names, where
`torchvision.transforms.v2`, which draws parameters once per call, takes 33 ms image by image.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hwrlib.images import WIDTH_STEP


def augment(images: Tensor, image_widths: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """Vary how each text is written: bend, slant, scale and move every image at random, thicken or thin its strokes.

    The canvas becomes wider where a line does: if its first letter were pushed out of the image, the network would learn to
    invent it. Random numbers come from torch's global state.

    Args:
        images: (N, 1, H, W) uint8 ink, 0 is paper; what moves in from outside is paper.
        image_widths: (N,) px of each image that are not padding.
        strength: 0 leaves the images as they are; 0.5 suits short trainings, 1 long ones.
    Returns:
        (N, 1, H, W') float ink in 0 … 1, and their (N,) widths, none smaller than before.
    """
    images = images.float() / 255
    if strength == 0:
        return images, image_widths
    grid, image_widths = _warped_grid(images, image_widths, strength)
    return _vary_strokes(F.grid_sample(images, grid, align_corners=False), strength), image_widths


def _warped_grid(images: Tensor, image_widths: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Where each new pixel comes from, (N, H, W', 2) as `grid_sample` wants it, and the new widths (N,)."""
    n, _, height, width = images.shape
    device, widths = images.device, image_widths.float()

    def spread(limit: float) -> Tensor:
        return (torch.rand(n, device=device) * 2 - 1) * limit * strength

    # Half of the lines shrink (zoom > 1), as in crops that were cut with much paper around them.
    zoom = 1 + 0.7 * strength * (2 * torch.rand(n, device=device) - 1).clamp(min=0)
    scale_x, scale_y = zoom * (1 + spread(0.12)), zoom * (1 + spread(0.15))  # old px per new px
    slant = spread(0.35)
    turn = spread(1) * (height / widths / 4).clamp(max=0.03)  # the ends of a long line stay in the image
    margin = slant.abs() * height / 2 / scale_x  # room for what the slant moves beyond the ends of the line
    needed = widths / scale_x + 2 * margin
    new_widths = torch.maximum(needed.ceil(), widths)
    left = margin + torch.rand(n, device=device) * (new_widths - needed).clamp(max=width / 8)
    shift = spread(0.06) * height + (torch.rand(n, device=device) - 0.5) * (zoom - 1) * height

    new_width = -(-int(new_widths.max()) // WIDTH_STEP) * WIDTH_STEP
    x = torch.arange(new_width, device=device) + 0.5  # (W',) centres of the pixels
    y = torch.arange(height, device=device)[:, None] + 0.5 - height / 2  # (H, 1) from the middle
    scale_x, scale_y, slant, turn, left, shift = (v[:, None, None] for v in (scale_x, scale_y, slant, turn, left, shift))
    bend_x, bend_y = _elastic_field(n, height, new_width, strength, device)
    from_x = (x - left) * scale_x + y * slant + bend_x  # (N, H, W')
    from_y = y * scale_y + shift + turn * (x - new_widths[:, None, None] / 2) + bend_y
    return torch.stack([from_x * 2 / width - 1, from_y * 2 / height], -1), new_widths.long()


def _elastic_field(n: int, height: int, width: int, strength: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Random displacements that vary slowly: (N, H, W) of up to 2.5 px to the sides, and of up to 3 px up and down."""
    knots = (torch.rand(n, 2, 4, max(width // 24, 2), device=device) * 2 - 1) * strength
    field = F.interpolate(knots, size=(height, width), mode="bilinear", align_corners=True)
    return 2.5 * field[:, 0], 3 * field[:, 1]


def _vary_strokes(images: Tensor, strength: float) -> Tensor:
    """Half of the lines get thicker strokes, half thinner ones; the ink fades by up to a third."""
    n = len(images)
    amount = ((torch.rand(n, 1, 1, 1, device=images.device) * 3 - 1.5) * strength).clamp(-1, 1)
    padded = F.pad(images, (1, 1, 1, 1))
    grown, shrunk = (_of_neighbours(padded, torch.maximum), _of_neighbours(padded, torch.minimum))
    images = images + amount.clamp(min=0) * (grown - images) * 0.5 + amount.clamp(max=0) * (images - shrunk) * 0.5
    return images * (1 - 0.3 * strength * torch.rand(n, 1, 1, 1, device=images.device)).clamp(min=0.1)


def _of_neighbours(padded: Tensor, extreme: Callable) -> Tensor:
    """3 x 3 max- or min-pooling (dilation or erosion): (N, 1, H + 2, W + 2) -> (N, 1, H, W)."""
    rows = extreme(extreme(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return extreme(extreme(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


def erase(images: Tensor, share: float) -> Tensor:
    """Erase random patches of each line, so that the model has to use what is beside them.

    Args:
        images: (N, 1, H, W) float ink in 0 … 1.
        share: of the columns, on average, that a patch covers, 0 … 0.5; a patch covers 40 to 100 % of their height.
    Returns:
        (N, 1, H, W) float ink in 0 … 1.
    """
    if share == 0:
        return images
    n, _, height, width = images.shape
    device, slots = images.device, -(-width // height)  # squares of the line: one patch or none in each
    x, y = torch.arange(width, device=device), torch.arange(height, device=device)
    low, left, size, chance = torch.rand(4, n, slots, 1, device=device)
    from_x = (torch.arange(slots, device=device)[:, None] + left - 0.5) * height  # (N, slots, 1)
    columns = (x >= from_x) & (x < from_x + (0.2 + 0.6 * size) * height) & (chance < 2 * share)  # (N, slots, W)
    from_y = (low * 1.2 - 0.6) * height
    rows = (y >= from_y) & (y < from_y + height)  # (N, slots, H)
    covered = rows.float().transpose(1, 2) @ columns.float() > 0  # (N, H, W)
    return images * ~covered[:, None]
