"""The standard error of an AUC is what AUCs of many draws differ by."""

from __future__ import annotations

import numpy as np
import pytest

from mamdr.evaluation.auc import standard_error


@pytest.mark.parametrize(("positives", "negatives"), [(1, 60), (30, 90), (200, 50)])
@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_it_is_the_spread_of_draws(positives: int, negatives: int, rate: float) -> None:
    # Exponential scores, for which the formula is exact: AUC = rate / (rate + 1).
    draw = np.random.default_rng(positives)
    aucs = [
        (draw.exponential(rate, positives)[:, None] > draw.exponential(1.0, negatives)[None, :]).mean()
        for _ in range(4000)
    ]
    assert np.mean(aucs) == pytest.approx(rate / (rate + 1), abs=0.02)
    assert np.std(aucs) == pytest.approx(standard_error(rate / (rate + 1), positives, negatives), rel=0.06)


def test_of_a_perfect_one_it_is_nothing() -> None:
    assert standard_error(1.0, 5, 7) == standard_error(0.0, 5, 7) == 0
