"""Runs for the report's tests: made-up labels and predictions, with metrics that really belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mamdr.evaluation.metrics import evaluate
from mamdr.evaluation.report import RoundRecord, RunSummary
from mamdr.seeds import generator

NAMES = (
    "Gift_Cards",
    "Magazine_Subscriptions",
    "<script>alert(1)</script>",
    'A "quoted" & \u2028 name',
    "one class",
)
SIZES = (240, 90, 60, 30, 5)


def make_run(
    name: str = "dn",
    skill: float = 0.6,
    *,
    names: Sequence[str] = NAMES,
    sizes: Sequence[int] = SIZES,
    one_class: Sequence[int] = (4,),
    **changes: Any,
) -> RunSummary:
    """A run whose predictions follow the labels the better the higher `skill`; the labels are always the same."""
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    draw = generator(1, "report-labels")
    logits = draw.normal(size=offsets[-1]) - 0.8
    labels = (draw.random(len(logits)) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    for domain in one_class:
        labels[offsets[domain] : offsets[domain + 1]] = 0
    users = draw.integers(0, 1 + len(logits) // 20, len(logits))
    noise = generator(2, "report-noise", name).normal(size=len(logits))
    probabilities = (1 / (1 + np.exp(-(skill * logits + (1 - skill) * noise)))).astype(np.float32)
    values = {
        "strategy": name,
        "model": "mlp",
        "data": "amazon",
        "seed": 1,
        "finetuned": False,
        "best_round": 3,
        "stopped_by": "no better validation",
        "split": "test",
        "rounds": [
            RoundRecord(i, 1.5, 0.7 / i, 0.6 + skill * i / 100 - i * i / 500, 0.5) for i in range(1, 6)
        ],
        "metrics": evaluate(names, offsets, labels, probabilities, users),
        "labels": labels,
        "probabilities": probabilities,
        "offsets": offsets,
        "domains": tuple(names),
        "fingerprint": "0123456789abcdef",
        "version": "0.1.0",
        **changes,
    }
    return RunSummary(name=name, **values)


def three_runs() -> list[RunSummary]:
    """A baseline and two better runs."""
    return [make_run("alternate", 0.4), make_run("dn", 0.6), make_run("mamdr", 0.8)]
