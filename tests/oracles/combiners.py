"""Gradient methods as their papers have them, on explicit gradients: slow loops and searches, sharing no code with src.

Gradients are a matrix [G, P] of float64, a domain a row. What comes out is the step [P], or weights where a paper names
them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from tests.oracles import combiners_core
from tests.oracles.learning import Batch, loss_of, parameters_of
from tests.oracles.optimizers import Params
from torch import Tensor, nn

Rows = np.ndarray


def shortest_mixture(g: Rows) -> Rows:
    """MGDA, equation 3: weights of the shortest convex combination, by trying every set of gradients with a share."""
    best, best_length = np.full(len(g), np.nan), math.inf
    for size in range(1, len(g) + 1):
        for chosen in map(list, itertools.combinations(range(len(g)), size)):
            weights = np.zeros(len(g))
            # Lagrange: the chosen inner products with the mixture are all the same, and the weights add up to one.
            system = np.block(
                [[g[chosen] @ g[chosen].T, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]]
            )
            weights[chosen] = np.linalg.lstsq(system, np.r_[np.zeros(size), 1.0], rcond=None)[0][:size]
            length = float(np.linalg.norm(weights @ g))
            fits = weights.min() > -1e-12 and abs(weights.sum() - 1) < 1e-9
            if fits and length < best_length - 1e-12:
                best, best_length = weights, length
    return best


def upgrad(g: Rows) -> Rows:
    """Jacobian descent, section 3.1: the mean of the projections of the gradients onto {d : g d >= 0}."""
    return np.mean([_onto_dual_cone(g, row) for row in g], axis=0)


def _onto_dual_cone(g: Rows, row: Rows) -> Rows:
    """The nearest point of {d : g d >= 0}: on the face where some set of constraints is tight, by trying every set."""
    best, best_distance = np.zeros_like(row), float(np.linalg.norm(row))
    for size in range(len(g) + 1):
        for tight in map(list, itertools.combinations(range(len(g)), size)):
            point = row - np.linalg.pinv(g[tight]) @ (g[tight] @ row) if tight else row
            distance = float(np.linalg.norm(point - row))
            if (g @ point).min() > -1e-9 and distance < best_distance:
                best, best_distance = point, distance
    return best


def cagrad(g: Rows, c: float) -> Rows:
    """CAGrad, Algorithm 1, for up to three gradients: the convex dual by golden sections within golden sections."""
    mean = g.mean(axis=0)
    radius = c * float(np.linalg.norm(mean))

    def dual(z: Sequence[float]) -> float:
        mixture = np.asarray(z) @ g
        return float(mixture @ mean + radius * np.linalg.norm(mixture))

    if len(g) == 2:
        share, _ = _golden(lambda a: dual((a, 1 - a)), 1.0)
        z = np.array([share, 1 - share])
    else:
        first, _ = _golden(lambda a: _golden(lambda b: dual((a, b, 1 - a - b)), 1 - a)[1], 1.0)
        second, _ = _golden(lambda b: dual((first, b, 1 - first - b)), 1 - first)
        z = np.array([first, second, 1 - first - second])
    mixture = z @ g
    return mean + radius * mixture / np.linalg.norm(mixture)


def _golden(function: Callable[[float], float], end: float) -> tuple[float, float]:
    """Where a convex function on [0, end] is least, and its value there."""
    low, high, ratio = 0.0, end, (math.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return min(((x, function(x)) for x in (0.0, (low + high) / 2, end)), key=lambda found: found[1])


def imtl_g(g: Rows) -> Rows:
    """IMTL-G, the closed form: weights 2 to T are g_1 Uᵀ (D Uᵀ)⁻¹, the first is what is left of one."""
    units = g / np.linalg.norm(g, axis=1, keepdims=True)
    D, U = g[0] - g[1:], units[0] - units[1:]
    others = g[0] @ U.T @ np.linalg.inv(D @ U.T)
    return np.r_[1 - others.sum(), others]


def aligned(g: Rows, scale: str = "min") -> Rows:
    """Aligned-MTL: from the singular values of the gradients themselves, the mean of σ · U Vᵀ."""
    left, values, right = np.linalg.svd(g, full_matrices=False)
    rank = int((values > values[0] * 1e-9).sum())
    squares = np.sort(values[:rank] ** 2)
    square = {"min": squares[0], "mean": squares.mean(), "median": squares[(rank - 1) // 2]}[scale]
    return (math.sqrt(square) * left[:, :rank] @ right[:rank]).mean(axis=0)


def nash(g: Rows, sweeps: int = 20_000) -> Rows:
    """Nash-MTL, Claim 3.1: α with (g gᵀ) α = 1/α, one entry at a time: its own equation is a quadratic."""
    gram, alpha = g @ g.T, np.ones(len(g))
    for _ in range(sweeps):
        before = alpha.copy()
        for i in range(len(g)):
            rest = gram[i] @ alpha - gram[i, i] * alpha[i]
            alpha[i] = (-rest + math.sqrt(rest * rest + 4 * gram[i, i])) / (2 * gram[i, i])
        if np.abs(alpha - before).max() < 1e-14 * alpha.max():
            break
    return alpha


class GradVac:
    """Gradient Vaccine, Algorithm 1, with targets by pair of domain ids."""

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self.targets: dict[tuple[int, int], float] = {}

    def __call__(self, domains: Sequence[int], g: Rows, orders: Sequence[Sequence[int]]) -> Rows:
        step = np.zeros_like(g[0])
        for i, others in enumerate(orders):
            mine = g[i].copy()
            for j in others:
                pair = (domains[i], domains[j])
                target = self.targets.get(pair, 0.0)
                length, other = np.linalg.norm(mine), np.linalg.norm(g[j])
                cosine = float(mine @ g[j] / (length * other))
                if cosine < target:
                    up = length * (target * math.sqrt(1 - cosine**2) - cosine * math.sqrt(1 - target**2))
                    mine = mine + up / (other * math.sqrt(1 - target**2)) * g[j]
                self.targets[pair] = (1 - self.beta) * target + self.beta * cosine
            step = step + mine
        return step


class FAMO:
    """FAMO, Algorithm 2 (or Algorithm 1 with `adam=False`): the logits' slope by autograd through the softmax.

    Domains may be absent: each has a logit, and an Adam, of its own.
    """

    def __init__(self, total: int, lr: float, gamma: float, adam: bool = True) -> None:
        self.logits = [nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(total)]
        kind = torch.optim.Adam if adam else torch.optim.SGD
        self.optimizers = [kind([logit], lr=lr, weight_decay=gamma) for logit in self.logits]

    def weights(self, domains: Sequence[int], losses: Tensor) -> Tensor:
        z = torch.stack([self.logits[d].detach() for d in domains]).softmax(0)
        ratio = z / (losses.double() + 1e-8)
        return ratio / ratio.sum()

    def update(self, domains: Sequence[int], before: Tensor, after: Tensor) -> None:
        fell = (before.double() + 1e-8).log() - (after.double() + 1e-8).log()
        for d in domains:
            self.optimizers[d].zero_grad()
        with torch.enable_grad():
            torch.stack([self.logits[d] for d in domains]).softmax(0).backward(fell)
        for d in domains:
            self.optimizers[d].step()


class TrainedByFAMO(combiners_core.Combined):
    """FAMO, Algorithm 2, with the losses of a mini-batch measured again after its step."""

    def train(self, batches: Iterable[tuple[Batch, Tensor]], famo: FAMO) -> Params:
        for batch, labels in batches:
            domains = sorted(set(batch["domain"].tolist()))
            before = self._losses(batch, labels, domains)
            weights = famo.weights(domains, before.detach())
            gradients = torch.autograd.grad((weights.to(before) * before).sum(), self.parameters)
            self._step(torch.cat([gradient.flatten() for gradient in gradients]))
            with torch.no_grad():
                famo.update(domains, before.detach(), self._losses(batch, labels, domains))
        return parameters_of(self.module)

    def _losses(self, batch: Batch, labels: Tensor, domains: Sequence[int]) -> Tensor:
        each = [batch["domain"] == domain for domain in domains]
        parts = [({name: column[mine] for name, column in batch.items()}, labels[mine]) for mine in each]
        return torch.stack([loss_of(self.module, *part) for part in parts])
