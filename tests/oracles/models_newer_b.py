"""SAR-Net, HiNet and MLoRA as plain loops over numbers, written from their papers; they share no code with the library.

A vector is a list of floats; a layer is (kernel [out][in], bias [out]).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.oracles.models import Layer, Matrix, Vector, dot, hidden, linear, mixture, network

Expert = Sequence[Layer]
Gated = tuple[Layer, Sequence[Expert]]
"""A linear gate, and the sub-experts that it mixes."""


def transform(x: Vector, scale: Vector, shift: Vector) -> list[float]:
    """SAR-Net, scenario-specific transform: x ⊙ β + γ."""
    return [value * s + t for value, s, t in zip(x, scale, shift, strict=True)]


def sar_net(
    x: Vector,
    *,
    experts: Sequence[Expert],
    gate: Layer,
    out: Layer,
    bias: Sequence[tuple[float, float]] = (),
    shown: float = 0.0,
) -> float:
    """The score of a row that has been transformed: each expert's own score, and in training its bias net's, weighed by
    the gate. `experts` are the domain's and then the shared ones; `bias` their (slope, intercept) in `shown`."""
    powers = [math.exp(value) for value in linear(gate, x)]
    (kernel,), (intercept,) = out
    total = intercept
    for number, expert in enumerate(experts):
        score = dot(kernel, hidden(expert, x))
        if bias:
            slope, start = bias[number]
            score += slope * shown + start
        total += powers[number] / sum(powers) * score
    return total


def sub_experts(gated: Gated, x: Vector) -> list[float]:
    """HiNet, sub-expert integration: sub-experts mixed by a gate on the same input."""
    gate, experts = gated
    return mixture([gate], x, [hidden(expert, x) for expert in experts])


def hinet(
    x: Vector,
    domain: Vector,
    *,
    shared: Gated,
    own: Gated,
    others: Sequence[Gated],
    attention: Layer,
    task: Gated,
    tower: Sequence[Layer],
) -> float:
    """Scenario layer: what is shared, the domain's own, and others weighed by the domain's embedding alone; then the
    task layer and its tower."""
    transferred = mixture([attention], domain, [sub_experts(other, x) for other in others])
    extracted = [*sub_experts(shared, x), *sub_experts(own, x), *transferred]
    return network(tower, sub_experts(task, extracted))[0]


def adapted(layer: Layer, down: Matrix, up: Matrix, shift: Vector, x: Vector) -> list[float]:
    """MLoRA: W x + b + B (A x) + b_d."""
    low = [dot(row, x) for row in down]
    own = [dot(row, low) + value for row, value in zip(up, shift, strict=True)]
    return [a + b for a, b in zip(linear(layer, x), own, strict=True)]
