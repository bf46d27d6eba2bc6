r"""What Adam does to a row while no batch touches it, in one step instead of many.

A dense Adam moves every row at every step: after a row's last gradient at step t, its moments fade and keep pushing it,

    θ ← θ − lr · Σ_{s=1..k} [ m β₁^s / (1 − β₁^{t+s}) ] / [ √v · q_s + eps ],     q_s = √( β₂^s / (1 − β₂^{t+s}) ).

The sum is needed only when the row is touched again, or at the end of the walk. With

    A(t, k) = Σ β₁^s / (1 − β₁^{t+s}),     G(t, k) = Σ β₁^s / ((1 − β₁^{t+s}) q_s),     q̄ = A / G

it is m · A / (√v · q̄ + eps): exact for eps → 0 and for eps → ∞, and as q_s hardly changes while β₁^s fades, within a
few parts in a thousand between (two in a hundred at worst: in a walk's first steps, where eps is as large as √v).
A and G are differences of infinite sums, which one backward pass tabulates:
A(t, k) = A∞(t) − β₁^k A∞(t + k), and the same for G with β₁/√β₂ in place of β₁.

A row that a whole table's worth of batches passes by moves about ten times as far by its fading moments as by the step
that touched it, so leaving this out is another method (`rows="sparse"`, as `torch.optim.SparseAdam`), not a short cut.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

_CONVERGED = 1e-9
"""β₂^t below this is zero: from there on the sums no longer depend on t."""
_GONE = 1e-45
"""β₂^k below this is zero in float32, so that a moment that has faded so far is none."""
_TINY = 1e-30
"""Added to sums that are about 1 or zero, so that one can divide by them; on a log scale, what stands for a β of 0."""
_MOST = 1 << 20
"""Length of the tables at most, for a β₂ very near 1."""


def coast(
    value: Tensor,
    mean: Tensor,
    square: Tensor,
    last: Tensor,
    now: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Do, in place, what steps last + 1 .. now would have done to rows [n, d] without gradients.

    Args:
        value, mean, square: rows and their moments as step `last` left them.
        last: [n], the step that each row's values belong to, 0 <= last <= now.
        now: the step to bring them to.

    Cost: six passes over the rows, whatever the number of steps; for an unusual pair of β, where the sum has no short
    form (β₁ fades no faster than β₂), as many times that as it takes β₁ to fade.
    """
    steps = now - last
    if not bool(steps.any()):
        return
    if not has_short_form(beta1, beta2):
        idle = steps.to(torch.float64)
        faded = torch.exp(idle.unsqueeze(1) * _logs(beta1, beta2, value.device))
        _step_by_step(value, mean, square, last, idle, lr, beta1, beta2, eps)
    else:
        sums, powers = tables(beta1, beta2, value.device)
        faded = powers.index_select(0, steps.clamp(max=len(powers) - 1))
        _at_once(value, mean, square, last, now, faded[:, :2], sums, lr, eps)
    mean.mul_(faded[:, :1].to(value.dtype))
    square.mul_(faded[:, 2:].to(value.dtype))


def has_short_form(beta1: float, beta2: float) -> bool:
    """Whether the sum of many steps has a short form: β₁ fades much faster than β₂."""
    rounding = 1 + 1e-9  # of 1 - β: 0.9 and 0.995 have one
    return beta1 > 0 and 20 * (1 - beta2) <= (1 - beta1) * rounding


def tables(beta1: float, beta2: float, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """What the formula is made of, for β that have one, float64: [A∞(t), G∞(t)] for t = 0, 1, ..., [T, 2], and
    [β₁^k, (β₁/√β₂)^k, β₂^k] for k = 0, 1, ..., [K, 3]. The last row of each serves all larger t and k: there, all has
    faded that float32 can tell, but for a β₂ above 0.9999 (of 0.99999 all but 3 in 100,000).

    Cost: some 3 MB for β₂ = 0.999, once for each pair of β.
    """
    where = device or torch.device("cpu")
    return _sums(beta1, beta2, where), _powers(beta1, beta2, where)


def _step_by_step(
    value: Tensor,
    mean: Tensor,
    square: Tensor,
    last: Tensor,
    idle: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """The sum, term by term, until β₁ has faded or the longest idle row is done."""
    faded = math.ceil(math.log(_CONVERGED**2) / math.log(beta1)) if beta1 > 0 else 0
    for s in range(1, min(int(idle.max()), faded) + 1):
        t = (last + s).to(torch.float64)
        push = torch.where(idle >= s, lr * beta1**s / (1 - beta1**t), torch.zeros_like(t)).to(value.dtype)
        shrunk = torch.sqrt(beta2**s / (1 - beta2**t)).to(value.dtype)
        value.addcdiv_(mean * push.unsqueeze(1), square.sqrt().mul_(shrunk.unsqueeze(1)).add_(eps), value=-1)


def _at_once(
    value: Tensor,
    mean: Tensor,
    square: Tensor,
    last: Tensor,
    now: int,
    faded: Tensor,
    sums: Tensor,
    lr: float,
    eps: float,
) -> None:
    """The sum by its tables, given [β₁^k, (β₁/√β₂)^k] of each row, [n, 2]."""
    here, there = sums.index_select(0, last.clamp(max=len(sums) - 1)), sums[min(now, len(sums) - 1)]
    # Each operation by itself: what torch does in one it may round once or twice, as the processor has it.
    a, g = torch.split(here - faded * there, 1, dim=1)
    # lr · A · m / (√v · q̄ + eps) as m / (√v / (lr · G) + eps / (lr · A)): a pass over the rows less. A row that has
    # not idled has A = G = 0, and is moved by m / ∞.
    # √ by its reciprocal, which torch rounds as IEEE says, and √ itself it does not everywhere.
    scale = square.rsqrt()
    torch.div((1 / (g * lr + _TINY)).to(value.dtype), scale, out=scale).add_((eps / (a * lr)).to(value.dtype))
    value.addcdiv_(mean, scale, value=-1)


@functools.lru_cache(maxsize=8)
def _logs(beta1: float, beta2: float, device: torch.device) -> Tensor:
    """Logarithms of β₁, β₁/√β₂ and β₂, [3]. Float64."""
    bases = (beta1, beta1 / math.sqrt(max(beta2, _TINY)), beta2)
    return torch.tensor([math.log(max(base, _TINY)) for base in bases], dtype=torch.float64, device=device)


@functools.lru_cache(maxsize=8)
def _powers(beta1: float, beta2: float, device: torch.device) -> Tensor:
    """[β₁^k, (β₁/√β₂)^k, β₂^k] for k = 0, 1, ..., [K, 3]. Float64."""
    length = min(_MOST, math.ceil(math.log(_GONE) / math.log(beta2)) + 2)
    steps = torch.arange(length, dtype=torch.float64, device=device)
    return torch.exp(steps.unsqueeze(1) * _logs(beta1, beta2, device))


@functools.lru_cache(maxsize=8)
def _sums(beta1: float, beta2: float, device: torch.device) -> Tensor:
    """[A∞(t), G∞(t)] for t = 0, 1, ..., [T, 2]; the last row serves all larger t. Float64."""
    length = min(_MOST, math.ceil(math.log(_CONVERGED) / math.log(beta2)) + 1 if beta2 > 0 else 2)
    step = torch.arange(1, length + 1, dtype=torch.float64)
    a = 1 / (1 - beta1**step)
    b = a * torch.sqrt(1 - beta2**step)
    return torch.stack([_backward(beta1, a), _backward(beta1 / math.sqrt(beta2), b)], dim=1).to(device)


def _backward(ratio: float, terms: Tensor) -> Tensor:
    """S(t) = ratio · (terms(t + 1) + S(t + 1)), from the limit of equal terms."""
    total = ratio / (1 - ratio) * float(terms[-1])
    sums = [total]
    for term in reversed(terms.tolist()):
        total = ratio * (term + total)
        sums.append(total)
    return torch.tensor(sums[::-1], dtype=torch.float64)
