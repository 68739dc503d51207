"""Muon, an optimizer that sees weights as matrices, and AdamW for what is none.

AdamW scales the step of every single number. A matrix whose gradients all point in a few directions is then moved in
those alone. Muon takes the momentum U S Vᵀ of a matrix as a whole and steps by U Vᵀ, its nearest orthogonal matrix: as far
in the rare directions as in the common ones. A CTC training needs about half the passes with it.

Source: Jordan et al., *Muon: An optimizer for hidden layers in neural networks* (2024); the size of the steps is that of
Liu et al., *Muon is Scalable for LLM Training* (2025). PyTorch's own ``torch.optim.Muon`` takes neither convolutions nor
several matrices at once, which is what makes the small ones of a CRNN fast.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hwrlib.config import TrainConfig

ADAMW_STEP = 0.2                                   # the root mean square of AdamW's steps, of the learning rate
ITERATIONS = 5                                     # of Newton and Schulz
LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315   # of Jordan's polynomial, which takes singular values to 0.7 … 1.2


class Muon(torch.optim.AdamW):
    """One optimizer for a model: Muon for the hidden matrices, AdamW for biases, norms, the first layer and the heads.

    Args:
        model: whose weights are trained.
        lr: of both; a step of Muon is as long as one of AdamW is on average.
        weight_decay: of both.
        momentum: Muon's, Nesterov's way.
    """

    def __init__(self, model: nn.Module, *, lr: float, weight_decay: float, momentum: float = 0.95):
        matrices = list(hidden_matrices(model))
        others = [parameter for parameter in model.parameters() if all(parameter is not matrix for matrix in matrices)]
        # Not fused on a GPU: there it would decide by itself, for its own weights alone, which steps of fp16 are skipped.
        super().__init__([{"params": others, "muon": False}, {"params": matrices, "muon": True}], lr=lr,
                         weight_decay=weight_decay, fused=others[0].device.type == "cpu")
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights by their gradients."""
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                self._step_matrices(group)
        self.param_groups = [group for group in groups if not group["muon"]]
        super().step()
        self.param_groups = groups

    def _step_matrices(self, group: dict) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:    # AdamW looks for a "step"
                self.state[weight] |= {"momentum": torch.zeros_like(weight), "step": torch.zeros(())}
        gradients = [weight.grad for weight in weights]
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - self.momentum)
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)   # one product for all of a shape
        for weight, ahead in zip(weights, torch._foreach_lerp(gradients, momenta, self.momentum)):
            matrix = ahead.flatten(1)
            alike[matrix.shape].append((weight, matrix))
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        for shape, pairs in alike.items():
            steps = orthogonal(torch.stack([matrix for _, matrix in pairs]))
            for (weight, _), step in zip(pairs, steps):
                weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * ADAMW_STEP * max(shape) ** 0.5)


def hidden_matrices(model: nn.Module) -> Iterator[nn.Parameter]:
    """The weights between hidden layers: of convolutions but the first, and of LSTMs, whose four gates are one matrix."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels > 1:
            yield module.weight
        elif isinstance(module, nn.LSTM):
            yield from (weight for name, weight in module.named_parameters() if name.startswith("weight"))


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrix to each, nearly: all singular values become 0.7 to 1.2.

    Newton and Schulz's iteration multiplies X by a polynomial of X Xᵀ, again and again. Such polynomials commute, so here only
    their small square product is kept, and X is multiplied once, at the end.

    Args:
        matrices: (B, m, n).
    Returns:
        (B, m, n).
    Source: Jordan's coefficients, in the Gram form of Zhang et al., *Gram Newton-Schulz* (2026).
    """
    wide = (matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices).contiguous()
    wide = wide / wide.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
    gram, product = torch.bmm(wide, wide.mT), None
    for iteration in range(ITERATIONS):
        polynomial = torch.baddbmm(gram, gram, gram, beta=CUBIC, alpha=QUINTIC)
        polynomial.diagonal(dim1=1, dim2=2).add_(LINEAR)
        product = polynomial if product is None else torch.bmm(polynomial, product)
        if iteration < ITERATIONS - 1:
            gram = torch.bmm(polynomial, torch.bmm(gram, polynomial))
    steps = torch.bmm(product, wide)
    return steps if matrices.shape == steps.shape else steps.mT


def build_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that a configuration asks for."""
    if config.optimizer == "muon":
        return Muon(model, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay,
                             fused=next(model.parameters()).device.type in ("cpu", "cuda"))


def learning_rate_at(step: int, *, total: int, warmup: float, schedule: str) -> float:
    """The share of the peak learning rate at a step: linear warm-up, then a half cosine to zero, or constant."""
    warmup_steps = max(round(warmup * total), 1)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(total - warmup_steps, 1)))


def ema_update(decay: float) -> Callable:
    """The moving average's rule: decay grows from 0.1 to ``decay``, so that the first weights are soon forgotten."""
    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:
            torch._foreach_copy_(averaged, current)
    return update
