"""What moves the weights: Muon and AdamW, the learning rate's schedule, and the moving average of the weights.

AdamW scales the step of every single weight. If the gradients of a matrix all point in a few directions, it is moved in
those alone. Muon takes the momentum U S Vᵀ of a matrix as a whole and steps by U Vᵀ, the nearest orthogonal matrix: as
far in rare directions as in common ones. A CTC training needs about half the passes with it.

Source: Jordan et al., *Muon: An optimizer for hidden layers in neural networks* (2024); the size of the steps is that of
Liu et al., *Muon is Scalable for LLM Training* (2025).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hwrlib.runs.config import TrainConfig

ADAMW_STEP = 0.2  # root mean square of AdamW's steps, in units of the learning rate
ITERATIONS = 5  # of Newton and Schulz
LINEAR, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315  # Jordan's polynomial, which takes singular values to 0.7 ... 1.2


class Muon(Optimizer):
    """Momentum with orthogonalised steps, for the matrices between hidden layers; use AdamW for all other weights.

    `torch.optim.Muon` accepts no convolutions and multiplies in bf16 on any machine; this one flattens convolutions,
    computes in the weights' precision, and orthogonalises all matrices of one shape together, which makes the small ones of
    a CRNN fast.

    Args:
        params: matrices, or convolutions, flattened from the second dimension on.
        lr: a step is as long as one of AdamW is on average.
        weight_decay: fraction of the learning rate by which weights shrink per step.
        momentum: Nesterov's.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0, momentum: float = 0.95):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, momentum=momentum))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Move all weights that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if "momentum" not in self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
            momenta = [self.state[weight]["momentum"] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            directions = torch._foreach_lerp(gradients, momenta, group["momentum"])
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight, direction in zip(weights, directions):
                matrix = direction.flatten(1)
                by_shape[matrix.shape].append((weight, matrix))
            for shape, pairs in by_shape.items():
                steps = orthogonalise(torch.stack([matrix for _, matrix in pairs]))
                for (weight, _), step in zip(pairs, steps):
                    weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * ADAMW_STEP * max(shape) ** 0.5)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Approximately the nearest orthogonal matrix to each: all singular values become 0.7 to 1.2.

    Newton and Schulz's iteration multiplies X by a polynomial of X Xᵀ, again and again. Such polynomials commute, so only
    their small square product is kept here, and X is multiplied once, at the end.

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


def hidden_matrices(model: nn.Module) -> Iterator[nn.Parameter]:
    """The weights between hidden layers: all convolutions but the first, and LSTMs, whose four gates are one matrix."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels > 1:
            yield module.weight
        elif isinstance(module, nn.LSTM):
            yield from (weight for name, weight in module.named_parameters() if name.startswith("weight"))


def build_optimizers(config: TrainConfig, model: nn.Module) -> list[Optimizer]:
    """AdamW for all weights, or Muon for the hidden matrices and AdamW for biases, norms, the first layer and the heads."""
    matrices = list(hidden_matrices(model)) if config.optimizer == "muon" else []
    taken = set(map(id, matrices))
    others = [weight for weight in model.parameters() if id(weight) not in taken]
    options = dict(lr=config.learning_rate, weight_decay=config.weight_decay)
    adamw = AdamW(others, fused=others[0].device.type in ("cpu", "cuda"), **options)
    return [Muon(matrices, **options), adamw] if matrices else [adamw]


def build_schedulers(config: TrainConfig, optimizers: list[Optimizer], total: int) -> list[LambdaLR]:
    """The learning rate's schedule for each optimizer, over so many updates in total."""

    def factor(step: int) -> float:
        return learning_rate_at(step, total=total, warmup=config.warmup, schedule=config.schedule)

    return [LambdaLR(optimizer, factor) for optimizer in optimizers]


def learning_rate_at(step: int, *, total: int, warmup: float, schedule: str) -> float:
    """The fraction of the peak learning rate at a step: linear warm-up, then a half cosine to zero, or constant."""
    warmup_steps = max(round(warmup * total), 1)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(total - warmup_steps, 1)))


def ema_update(decay: float) -> Callable:
    """The rule of `AveragedModel`: the decay grows from 0.1 to `decay`, so that the first weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, weight)
        else:
            torch._foreach_copy_(averaged, current)

    return update
