"""When to stop, and which round was best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Stops when the watched figure has not risen for `patience` rounds (the authors' code: 3).

    Args:
        patience: rounds without a new best before stopping; None never stops.
        best: highest figure so far.
        best_round: the round that had it (rounds count from 1).
        waited: rounds since.

    >>> stopping = EarlyStopping(patience=1)
    >>> [stopping.update(round, value) for round, value in enumerate([0.6, 0.7, 0.65, 0.64], start=1)]
    [False, False, True, True]
    >>> stopping.best_round
    2
    """

    patience: int | None
    best: float | None = None
    best_round: int = 0
    waited: int = 0

    def update(self, round: int, value: float) -> bool:
        """Take a round's figure in; whether to stop now."""
        if self.best is None or value > self.best:
            self.best, self.best_round, self.waited = value, round, 0
        else:
            self.waited += 1
        return self.patience is not None and self.waited >= self.patience
