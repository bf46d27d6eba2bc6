"""How often a key may ask."""

from __future__ import annotations

import pytest

from mamdr.serving.limits import Rate


def test_a_burst_and_then_the_rate() -> None:
    now = [100.0]
    rate = Rate(2.0, 3, clock=lambda: now[0])
    assert [rate.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rate.wait("b") == 0
    now[0] += 0.5
    assert [rate.wait("a"), rate.wait("a")] == [0, 0.5]
    now[0] += 1000
    assert [rate.wait("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_no_rate_is_no_limit() -> None:
    rate = Rate(0.0, 1)
    assert [rate.wait("a") for _ in range(100)] == [0.0] * 100


def test_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from mamdr.serving import limits

    monkeypatch.setattr(limits, "_MOST", 2)
    rate = Rate(1.0, 1)
    for name in "abc":
        rate.wait(name)
    assert len(rate._left) == 2
