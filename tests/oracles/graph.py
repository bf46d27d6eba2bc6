"""GraphSAGE as plain loops over numbers, written from Hamilton, Ying and Leskovec 2017; no code is the library's.

A vector is a list of floats, a matrix a list of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]


def neighbours(pairs: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Of each name, whom it met."""
    found: dict[str, list[str]] = {}
    for user, item in sorted(pairs):
        found.setdefault(user, []).append(item)
        found.setdefault(item, []).append(user)
    return found


def layer(
    values: Mapping[str, Vector],
    met: Mapping[str, list[str]],
    own: Matrix,
    around: Matrix,
    bias: Vector,
    relu: bool,
) -> dict[str, list[float]]:
    """W · own value + V · mean of the neighbours' values + b, for every node (Algorithm 1, lines 4 and 5)."""
    made = {}
    for node, value in values.items():
        near = [values[other] for other in met[node]]
        mean = [sum(column) / len(near) for column in zip(*near, strict=True)]
        row = []
        for w, v, b in zip(own, around, bias, strict=True):
            total = b + sum(x * y for x, y in zip(w, value, strict=True))
            total += sum(x * y for x, y in zip(v, mean, strict=True))
            row.append(max(0.0, total) if relu else total)
        made[node] = row
    return made


def unit(value: Vector) -> list[float]:
    """At length 1 (Algorithm 1, line 7)."""
    length = math.sqrt(sum(x * x for x in value))
    return [x / length for x in value]


def loss(edges: Sequence[tuple[Vector, Vector]], negatives: Sequence[Vector], temperature: float) -> float:
    """−log σ(z_u·z_i / τ) − mean of log σ(−z_u·z_q / τ), mean over edges (Equation 1 with weight 1 on negatives)."""
    total = 0.0
    for user, item in edges:
        score = sum(x * y for x, y in zip(user, item, strict=True)) / temperature
        total += math.log1p(math.exp(-score))
        for other in negatives:
            score = sum(x * y for x, y in zip(user, other, strict=True)) / temperature
            total += math.log1p(math.exp(score)) / len(negatives)
    return total / len(edges)
