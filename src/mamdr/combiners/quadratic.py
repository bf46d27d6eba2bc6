"""Quadratic programs over non-negative vectors, which several combiners come down to.

    minimise over x >= 0:  ½ xᵀ A x − bᵀ x,   A [n, n] positive semidefinite, with a diagonal of about 1

x solves it if and only if x >= 0, y = A x − b >= 0 and x_i · y_i = 0 for every i. Many right sides are solved side by
side. Everything is float64, in a fixed order, without randomness.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-10
"""Added to the diagonal of A, so that duplicates do not make it singular."""

INTERIOR_UP_TO = 64
"""Many programs of more variables than this are solved to a tolerance, for they would cost a factor each."""

_AT_ONCE = 1 << 22
"""Numbers of stacked matrices in memory at once."""


def nonnegative(A: Tensor, B: Tensor) -> Tensor:
    """Solve one program for each column of B [n, m]: the solutions X [n, m].

    A column that asks for nothing (b <= 0) is answered by zeros, exactly.

    Cost: a column of up to 64 variables, or a single one of any size, takes some 15 Cholesky factors (`interior`); many
    larger ones share some tens to hundreds of products [n, n] · [n, m] (`accelerated`).
    """
    X = torch.zeros_like(B)
    asking = (B > 0).any(dim=0).nonzero()[:, 0]
    if len(asking) == 0:
        return X
    if len(A) > INTERIOR_UP_TO and len(asking) > 1:
        X[:, asking] = accelerated(A, B[:, asking])
        return X
    for some in torch.split(asking, max(1, _AT_ONCE // len(A) ** 2)):
        X[:, some] = interior(A, B[:, some])
    return X


def interior(A: Tensor, B: Tensor, tolerance: float = 1e-12, at_most: int = 60) -> Tensor:
    """Solve one program for each column of B [n, m] by an interior-point method, to about 1e-12 of B's largest entry.

    Newton steps towards x · y = σ μ, with a predictor step that chooses σ and corrects for the curvature; the number of
    steps hardly depends on A, however singular.

    Reference: Mehrotra, SIAM J. Optim. 2(4), 1992; Nocedal and Wright, Numerical Optimization, Algorithm 16.4.
    """
    A = A + RIDGE * torch.eye(len(A), dtype=A.dtype)
    scale = B.abs().max()
    b = B.T / scale  # [m, n] from here on, a program a row
    x, y = torch.ones_like(b), torch.ones_like(b)
    for _ in range(at_most):
        gap, mean = x @ A - b - y, (x * y).mean(dim=1, keepdim=True)
        if float(gap.abs().max()) <= tolerance and float((x * y).max()) <= 1e-6 * tolerance:
            break
        factor, failed = torch.linalg.cholesky_ex(A + torch.diag_embed(y / x))
        if bool(failed.any()):  # as far as float64 goes
            break
        dx, dy = _newton(A, factor, gap, x, y, -x * y)
        reach = _reach(x, y, dx, dy)
        aimed = ((x + reach * dx) * (y + reach * dy)).mean(dim=1, keepdim=True)
        target = mean * (aimed / mean).clamp(0.0, 1.0) ** 3
        dx, dy = _newton(A, factor, gap, x, y, target - x * y - dx * dy)
        reach = 0.995 * _reach(x, y, dx, dy)
        x, y = x + reach * dx, y + reach * dy
    return x.T * scale


def _newton(
    A: Tensor, factor: Tensor, gap: Tensor, x: Tensor, y: Tensor, aim: Tensor
) -> tuple[Tensor, Tensor]:
    """The step with A dx − dy = −gap and y dx + x dy = aim."""
    dx = torch.cholesky_solve((aim / x - gap)[:, :, None], factor)[:, :, 0]
    return dx, (aim - y * dx) / x


def _reach(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """How much of a step keeps x and y positive, at most 1, [m, 1]."""
    steepest = torch.maximum((-dx / x).amax(dim=1), (-dy / y).amax(dim=1))
    return 1.0 / steepest.clamp(min=1.0)[:, None]


def accelerated(A: Tensor, B: Tensor, tolerance: float = 1e-5, at_most: int = 500) -> Tensor:
    """Solve one program for each column of B [n, m] at once, by accelerated projected gradients.

    A column whose momentum points uphill starts it anew. It ends where no entry of min(x, y) is farther from zero than
    the tolerance, in units of B's largest entry, or after so many steps.

    Reference: Beck and Teboulle, SIAM J. Imaging Sci. 2(1), 2009 (FISTA); O'Donoghue and Candès, Found. Comput. Math.
    15, 2015, section 3.2 (the gradient scheme of restarts).
    """
    rate = 1.0 / _largest(A)
    goal = tolerance * float(B.abs().max())
    X = Y = torch.zeros_like(B)
    momentum = torch.ones(B.shape[1], dtype=B.dtype)
    for _ in range(at_most):
        gradient = A @ Y - B
        if float(torch.minimum(Y, gradient).abs().max()) <= goal and bool((Y >= 0).all()):
            return Y
        new = (Y - rate * gradient).clamp_(min=0.0)
        moved = new - X
        uphill = ((Y - new) * moved).sum(dim=0) > 0
        momentum[uphill] = 1.0
        following = (1.0 + (1.0 + 4.0 * momentum.square()).sqrt()) / 2.0
        Y = new + moved * torch.where(uphill, 0.0, (momentum - 1.0) / following)
        X, momentum = new, following
    return X


def _largest(A: Tensor) -> float:
    """A bound on the largest eigenvalue, at most n^(1/16) times it: the Frobenius norm of A^8, to the power 1/8."""
    power = A
    for _ in range(3):
        power = power @ power
    return float(torch.linalg.matrix_norm(power).pow(0.125))
