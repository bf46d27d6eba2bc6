"""The examples run."""

from __future__ import annotations

from examples import own_module


def test_own_module() -> None:
    results = own_module.main(samples_per_domain=300, rounds=1)
    assert all(auc is not None and 0.3 < auc < 1 for auc in results.values())
