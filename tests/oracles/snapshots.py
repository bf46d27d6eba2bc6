"""Which rounds score together, as a plain loop over all rounds that have been (`mamdr.training.snapshots`)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracles.metrics import auc


def together(rounds: Sequence[Sequence[float]], labels: Sequence[int], most: int) -> tuple[list[int], float]:
    """The rounds that score together after the last one, in the order of their seats, and the AUC of their mean."""
    seats: list[int] = []
    best = -1.0
    for now in range(len(rounds)):
        tries: list[list[int]] = []
        if len(seats) < most:
            tries.append([*seats, now])
        for gone in seats:
            tries.append([now if seated == gone else seated for seated in seats])
        if len(seats) > 1:
            tries.append([now])
        found: list[float] = []
        for tried in tries:
            mean = [sum(rounds[one][row] for one in tried) / len(tried) for row in range(len(labels))]
            worth = auc(mean, labels)
            assert worth is not None
            found.append(worth)
        if max(found) > best:
            best, seats = max(found), tries[found.index(max(found))]
    return seats, best
