"""Metrics written from their definitions: count the pairs one by one, add the losses one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence


def auc(scores: Sequence[float], labels: Sequence[int]) -> float | None:
    """Share of (positive, negative) pairs in the right order, ties counting one half."""
    wins, pairs = 0.0, 0
    for score, label in zip(scores, labels, strict=True):
        for other, other_label in zip(scores, labels, strict=True):
            if label == 1 and other_label == 0:
                pairs += 1
                wins += 1.0 if score > other else 0.5 if score == other else 0.0
    return wins / pairs if pairs else None


def log_loss(probabilities: Sequence[float], labels: Sequence[int]) -> float | None:
    """Mean negative log likelihood in nats, probabilities kept 2^-23 away from 0 and 1."""
    total = 0.0
    for probability, label in zip(probabilities, labels, strict=True):
        p = min(max(probability, 1 / 8388608), 1 - 1 / 8388608)
        total -= math.log(p) if label == 1 else math.log(1 - p)
    return total / len(labels) if len(labels) else None


def calibration(probabilities: Sequence[float], labels: Sequence[int]) -> float | None:
    """Expected positives over observed positives."""
    positives = sum(1 for label in labels if label == 1)
    return sum(probabilities) / positives if positives else None


def rows_of(values: Sequence[float], groups: Sequence[int], group: int) -> list[float]:
    """The values whose group is `group`, in order."""
    return [value for value, each in zip(values, groups, strict=True) if each == group]


def by_group(
    scores: Sequence[float], labels: Sequence[int], groups: Sequence[int], count: int
) -> list[float | None]:
    """AUC of each group."""
    return [auc(rows_of(scores, groups, g), rows_of(labels, groups, g)) for g in range(count)]


def mean(values: Sequence[float | None], weights: Sequence[int] | None = None) -> float | None:
    """Weighted mean of the values that are there; None when none is."""
    total = weight = 0.0
    for position, value in enumerate(values):
        if value is not None:
            w = 1 if weights is None else weights[position]
            total += w * value
            weight += w
    return total / weight if weight else None


def mean_ranks(table: Sequence[Sequence[float]]) -> list[float]:
    """Mean rank of each method (a row) over the domains (columns), by sorting each column."""
    totals = [0.0] * len(table)
    for domain in range(len(table[0])):
        column = [row[domain] for row in table]
        places = sorted(column, reverse=True)
        for method, value in enumerate(column):
            shared = [place + 1 for place, other in enumerate(places) if other == value]
            totals[method] += sum(shared) / len(shared)
    return [total / len(table[0]) for total in totals]
