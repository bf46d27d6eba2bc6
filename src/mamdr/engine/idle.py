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
    idle = (now - last).to(torch.float64)
    if not bool((idle > 0).any()):
        return
    if beta1 == 0 or 20 * (1 - beta2) > 1 - beta1:
        _step_by_step(value, mean, square, last, idle, lr, beta1, beta2, eps)
    else:
        _at_once(value, mean, square, last, idle, now, lr, beta1, beta2, eps)
    mean.mul_((beta1**idle).to(value.dtype).unsqueeze(1))
    square.mul_((beta2**idle).to(value.dtype).unsqueeze(1))


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
    idle: Tensor,
    now: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """The sum by its tables."""
    slow, fast = _sums(beta1, beta2, value.device)
    ratio = beta1 / math.sqrt(beta2)
    here, there = last.clamp(max=len(slow) - 1), min(now, len(slow) - 1)
    faded = beta1**idle
    a = slow[here] - faded * slow[there]
    g = fast[here] - ratio**idle * fast[there]
    q = torch.where(idle > 0, a / g, torch.ones_like(a))
    kind = value.dtype
    scale = square.sqrt().mul_(q.to(kind).unsqueeze(1)).add_(eps)
    value.addcdiv_(mean * (a * lr).to(kind).unsqueeze(1), scale, value=-1)


@functools.lru_cache(maxsize=8)
def _sums(beta1: float, beta2: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """A∞(t) and G∞(t) for t = 0, 1, ...; the last entry serves all larger t. Float64."""
    length = min(_MOST, math.ceil(math.log(_CONVERGED) / math.log(beta2)) + 1 if beta2 > 0 else 2)
    step = torch.arange(1, length + 1, dtype=torch.float64)
    a = 1 / (1 - beta1**step)
    b = a * torch.sqrt(1 - beta2**step)
    return _backward(beta1, a).to(device), _backward(beta1 / math.sqrt(beta2), b).to(device)


def _backward(ratio: float, terms: Tensor) -> Tensor:
    """S(t) = ratio · (terms(t + 1) + S(t + 1)), from the limit of equal terms."""
    total = ratio / (1 - ratio) * float(terms[-1])
    sums = [total]
    for term in reversed(terms.tolist()):
        total = ratio * (term + total)
        sums.append(total)
    return torch.tensor(sums[::-1], dtype=torch.float64)
