"""The models' blocks as plain loops over numbers, written from their papers; they share no code with the library.

A vector is a list of floats, a matrix a list of its rows; a layer is (kernel [out][in], bias [out]).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]
Layer = tuple[Matrix, Vector]


def dot(left: Vector, right: Vector) -> float:
    assert len(left) == len(right)
    total = 0.0
    for a, b in zip(left, right, strict=True):
        total += a * b
    return total


def relu(values: Vector) -> list[float]:
    return [value if value > 0 else 0.0 for value in values]


def linear(layer: Layer, x: Vector) -> list[float]:
    kernel, bias = layer
    return [dot(row, x) + b for row, b in zip(kernel, bias, strict=True)]


def hidden(layers: Sequence[Layer], x: Vector) -> list[float]:
    """Layers with a ReLU after each."""
    out = list(x)
    for layer in layers:
        out = relu(linear(layer, out))
    return out


def softmax(values: Vector) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def bi_interaction(fields: Matrix) -> list[float]:
    """Σ over pairs of features of their element-wise products (NFM, eq. 3)."""
    pooled = [0.0] * len(fields[0])
    for f in range(len(fields)):
        for g in range(f + 1, len(fields)):
            for e in range(len(pooled)):
                pooled[e] += fields[f][e] * fields[g][e]
    return pooled


def factorisation_machine(fields: Matrix) -> float:
    """Σ over pairs of features of their inner products (DeepFM, eq. 2, without the linear part)."""
    total = 0.0
    for f in range(len(fields)):
        for g in range(f + 1, len(fields)):
            total += dot(fields[f], fields[g])
    return total


def attention(
    fields: Matrix, query: Matrix, key: Matrix, value: Matrix, residual: Matrix, heads: int
) -> list[list[float]]:
    """AutoInt, eq. 5 to 8: each kernel is [heads · head][width], a head's rows together."""

    def project(kernel: Matrix, head: int, x: Vector) -> list[float]:
        size = len(kernel) // heads
        return [dot(kernel[head * size + row], x) for row in range(size)]

    out = []
    for x in fields:
        joined: list[float] = []
        for head in range(heads):
            scores = [dot(project(query, head, x), project(key, head, other)) for other in fields]
            weights = softmax(scores)
            mixed = [0.0] * (len(value) // heads)
            for weight, other in zip(weights, fields, strict=True):
                for position, number in enumerate(project(value, head, other)):
                    mixed[position] += weight * number
            joined += mixed
        kept = [dot(row, x) for row in residual]
        out.append(relu([a + b for a, b in zip(joined, kept, strict=True)]))
    return out


def network(layers: Sequence[Layer], x: Vector) -> list[float]:
    """Layers with a ReLU between them and none after the last: a tower, a gate before its softmax."""
    return linear(layers[-1], hidden(layers[:-1], x))


def mixture(gate: Sequence[Layer], x: Vector, experts: Matrix) -> list[float]:
    """Σ_n softmax(gate(x))_n · expert_n (MMOE, eq. 6; PLE, eq. 1)."""
    weights = softmax(network(gate, x))
    assert len(weights) == len(experts)
    mixed = [0.0] * len(experts[0])
    for weight, expert in zip(weights, experts, strict=True):
        for position, value in enumerate(expert):
            mixed[position] += weight * value
    return mixed


def extraction(
    own: Vector,
    common: Vector,
    *,
    specific: Sequence[Sequence[Layer]],
    shared: Sequence[Sequence[Layer]],
    gate: Sequence[Layer],
    shared_gate: Sequence[Layer] | None,
) -> tuple[list[float], list[float]]:
    """A level of PLE for a row of one domain: its experts first, then the shared ones; what goes on to the next level.

    The shared gate chooses among the same experts, as a row has no other domain's.
    """
    found = [hidden(expert, own) for expert in specific]
    found += [hidden(expert, common) for expert in shared]
    passed = [] if shared_gate is None else mixture(shared_gate, common, found)
    return mixture(gate, own, found), passed


def star(shared: Sequence[Layer], specific: Sequence[Layer], x: Vector) -> list[float]:
    """STAR, eq. 7 to 9: kernels multiplied element by element, biases added."""
    layers = []
    for (kernel, bias), (own_kernel, own_bias) in zip(shared, specific, strict=True):
        product = [
            [a * b for a, b in zip(r, s, strict=True)] for r, s in zip(kernel, own_kernel, strict=True)
        ]
        layers.append((product, [a + b for a, b in zip(bias, own_bias, strict=True)]))
    return network(layers, x)


def partitioned_norm(
    x: Vector, mean: Vector, variance: Vector, scales: Matrix, shifts: Matrix, eps: float
) -> list[float]:
    """STAR, eq. 5: (γ γ_p) (z − μ) / sqrt(σ² + ε) + (β + β_p); `scales` are γ and γ_p, `shifts` β and β_p."""
    out = []
    for position, value in enumerate(x):
        normal = (value - mean[position]) / math.sqrt(variance[position] + eps)
        scale = scales[0][position] * scales[1][position]
        out.append(scale * normal + shifts[0][position] + shifts[1][position])
    return out


def moments(rows: Matrix) -> tuple[list[float], list[float]]:
    """Mean and variance (over n) of each column."""
    means, variances = [], []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        means.append(mean)
        variances.append(sum((value - mean) ** 2 for value in column) / len(column))
    return means, variances
