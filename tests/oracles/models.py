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
