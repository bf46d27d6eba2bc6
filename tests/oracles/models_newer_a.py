"""PEPNet, M2M and AdaSparse as plain loops over numbers, written from their papers; no code is the library's.

A vector is a list of floats, a matrix a list of its rows; a layer is (kernel [out][in], bias [out]).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.models import Layer, Matrix, Vector, dot, linear, relu, softmax


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def leaky(values: Vector) -> list[float]:
    return [value if value > 0 else 0.01 * value for value in values]


def times(left: Vector, right: Vector) -> list[float]:
    return [a * b for a, b in zip(left, right, strict=True)]


def gate(cross: Layer, score: Layer, x: Vector, gamma: float) -> list[float]:
    """PEPNet, Gate NU: γ · sigmoid of the second layer over ReLU of the first."""
    return [gamma * sigmoid(value) for value in linear(score, relu(linear(cross, x)))]


def pepnet(
    features: Vector,
    domain: Vector,
    prior: Vector,
    *,
    embedding_gate: tuple[Layer, Layer],
    layers: Sequence[Layer],
    gates: Sequence[tuple[Layer, Layer]],
    out: Layer,
    gamma: float,
    by_domain: bool,
) -> float:
    """EPNet over the features by [features, domain]; each layer's output gated by [EPNet's output, prior] (PPNet).

    by_domain: the first layer is given the domain's embedding as well.
    """
    gated = times(gate(*embedding_gate, [*features, *domain], gamma), features)
    hidden = [*gated, *domain] if by_domain else gated
    for layer, own in zip(layers, gates, strict=True):
        hidden = times(gate(*own, [*gated, *prior], gamma), relu(linear(layer, hidden)))
    return linear(out, hidden)[0]


def generated(generator: Layer, knowledge: Vector, width: int) -> Layer:
    """M2M: V k + v, read as a kernel by rows and then a bias."""
    numbers = iter(linear(generator, knowledge))
    kernel = [[next(numbers) for _ in range(width)] for _ in range(width)]
    return kernel, list(numbers)


def meta_unit(generators: Sequence[Layer], knowledge: Vector, x: Vector) -> list[float]:
    out = list(x)
    for generator in generators:
        out = leaky(linear(generated(generator, knowledge, len(x)), out))
    return out


def meta_attention(
    generators: Sequence[Layer], score: Vector, knowledge: Vector, experts: Matrix
) -> list[float]:
    """The experts' mean, weighed by the softmax of v · meta(expert)."""
    weights = softmax([dot(score, meta_unit(generators, knowledge, expert)) for expert in experts])
    mixed = [0.0] * len(experts[0])
    for weight, expert in zip(weights, experts, strict=True):
        for position, value in enumerate(expert):
            mixed[position] += weight * value
    return mixed


def meta_tower(units: Sequence[Sequence[Layer]], knowledge: Vector, x: Vector) -> list[float]:
    """L = σ(meta(L) + L), a unit a layer."""
    out = list(x)
    for generators in units:
        met = meta_unit(generators, knowledge, out)
        out = leaky([a + b for a, b in zip(met, out, strict=True)])
    return out


def pruner(
    weigh: Layer, x: Vector, domain: Vector, *, alpha: float, beta: float, threshold: float
) -> list[float]:
    """AdaSparse, Fusion: factors β · sigmoid(α · v), those up to the threshold zero."""
    out = []
    for value, weighed in zip(x, linear(weigh, [*x, *domain]), strict=True):
        factor = beta * sigmoid(alpha * weighed)
        out.append(value * factor if factor > threshold else 0.0)
    return out


def adasparse(
    features: Vector,
    domain: Vector,
    *,
    layers: Sequence[Layer],
    pruners: Sequence[Layer],
    out: Layer,
    alpha: float,
    beta: float,
    threshold: float,
) -> float:
    hidden = [*features, *domain]
    for layer, weigh in zip(layers, pruners, strict=True):
        now = relu(linear(layer, hidden))
        hidden = pruner(weigh, now, domain, alpha=alpha, beta=beta, threshold=threshold)
    return linear(out, hidden)[0]


def sparsity_penalty(shares: Vector, low: float, high: float, weight: float) -> float:
    """AdaSparse: the mean over layers of λ |r − (low + high) / 2|; λ = weight · that gap outside [low, high]."""
    total, middle = 0.0, (low + high) / 2
    for share in shares:
        gap = abs(share - middle)
        total += 0.0 if low <= share <= high else weight * gap * gap
    return total / len(shares)
