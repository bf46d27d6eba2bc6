"""Early stopping: which round is best, and when it has been waited for long enough."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from mamdr.training.stopping import EarlyStopping


@pytest.mark.parametrize(
    ("patience", "figures", "stops", "best"),
    [
        (1, [0.6, 0.7, 0.65], [False, False, True], 2),
        (2, [0.7, 0.6, 0.71, 0.7, 0.7], [False, False, False, False, True], 3),
        (2, [0.5, 0.5, 0.5], [False, False, True], 1),  # an equal figure is no better
        (None, [0.9, 0.1, 0.1, 0.1, 0.1], [False] * 5, 1),
        (3, [0.1, 0.2, 0.3, 0.4], [False] * 4, 4),
    ],
)
def test_stops(patience: int | None, figures: list[float], stops: list[bool], best: int) -> None:
    stopping = EarlyStopping(patience)
    found = [stopping.update(round, figure) for round, figure in enumerate(figures, start=1)]
    assert (found, stopping.best_round, stopping.best) == (stops, best, max(figures))


def test_goes_on_from_what_was_kept() -> None:
    figures = [0.6, 0.7, 0.65, 0.66, 0.64]
    straight, stopped = EarlyStopping(3), EarlyStopping(3)
    for round, figure in enumerate(figures, start=1):
        stopped = EarlyStopping(**asdict(stopped))
        assert straight.update(round, figure) == stopped.update(round, figure)
    assert straight == stopped
