"""What a synthetic market is made of: normals by id, pools, distinct pairs, a bias that sets a rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FIT_ROWS = 65_536  # enough for a rate within 0.002


def normals(keys: Sequence[int], ids: Ints) -> Floats:
    """Standard normal numbers [len(keys), N], each a function of (key, id) alone.

    SplitMix64 turns key and id into 64 bits, Box and Muller turn these into the number.

    >>> a, b = normals([1, 2], np.array([5, 6, 5]))
    >>> bool(a[0] == a[2] and a[0] != a[1] and a[0] != b[0])
    True
    """
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.array(keys, np.uint64)[:, None]
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    radius = np.sqrt(-2 * np.log(((x >> np.uint64(32)) + 0.5) * 2.0**-32))
    result: Floats = radius * np.cos((x & np.uint64(0xFFFFFFFF)) * (2 * math.pi * 2.0**-32))
    return result


def distinct(generator: np.random.Generator, count: int, below: int) -> Ints:
    """`count` different integers in [0, below) in random order; quick up to a quarter of them."""
    found = np.empty(0, np.int64)
    while len(found) < count:
        more = generator.integers(below, size=(count - len(found)) * 5 // 4 + 8)
        found = np.unique(np.concatenate((found, more)))
    return generator.permutation(found)[:count]


def spread(index: Ints, population: int, generator: np.random.Generator) -> Ints:
    """Send 0, 1, 2, ... to different ids in [0, population), by steps around a circle: a pool without a list.

    >>> ids = spread(np.arange(10), 10, np.random.default_rng(0))
    >>> sorted(ids.tolist()) == list(range(10))
    True
    """
    step, start = int(generator.integers(1, population)), int(generator.integers(population))
    while math.gcd(step, population) != 1:
        step = int(generator.integers(1, population))
    return (index * step + start) % population


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-logits)), without overflow."""
    result: Floats = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return result


def fit_bias(logits: Floats, rate: float) -> float:
    """The bias for which sigmoid(logits + bias) has mean `rate`: Newton's method inside a shrinking bracket.

    Long arrays, whose rows must be in random order, are fitted on their beginning.

    >>> bias = fit_bias(np.array([-2.0, 0.0, 5.0]), 0.3)
    >>> round(float(sigmoid(np.array([-2.0, 0.0, 5.0]) + bias).mean()), 6)
    0.3
    """
    logits = logits[:_FIT_ROWS]
    wanted = math.log(rate / (1 - rate))
    low, high = wanted - float(logits.max()), wanted - float(logits.min())
    bias = (low + high) / 2
    for _ in range(100):
        p = sigmoid(logits + bias)
        error = float(p.mean()) - rate
        if abs(error) < 1e-7:
            break
        low, high = (bias, high) if error < 0 else (low, bias)
        slope = float((p * (1 - p)).mean())
        newton = bias - error / slope if slope > 0 else math.inf
        bias = newton if low < newton < high else (low + high) / 2
    return bias
