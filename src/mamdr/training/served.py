"""What serves each domain of a run, in two figures: how much of its own part, and which round's parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mamdr.strategies import State
from mamdr.training.events import Event


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a domain: Θ_i = θ_S(r_i) + λ_i · θ_i(r_i).

    Args:
        share: λ_i in [0, 1]; None for a domain without a part of its own, which the shared parameters alone serve.
        own_round: r_i, counted from 1; None for a domain without a round of its own, which the run's best round serves.
    """

    share: float | None
    own_round: int | None


def what_serves(state: State, events: Iterable[Event], names: Sequence[str]) -> list[Served] | None:
    """What serves each domain [D], by a run's state and what its training told.

    Shares are the state's. Rounds of their own are told by the newest "own_rounds" event, which belongs to the state
    where it is of the same round; a run that was resumed has several.

    Returns: None where domains have rounds of their own that no event tells of: a run in memory, or not finished.
    """
    own: Mapping[str, Any] = {}
    if state.chosen:
        told = [event for event in events if event["event"] == "own_rounds"][-1:]
        if not told or told[0]["round"] != state.round:
            return None
        own = told[0]["domains"]
    parts = {*state.specific, *state.tuned}
    return [
        Served(
            (own[name]["share"] if name in own else state.shares.get(domain, 1.0))
            if domain in parts
            else None,
            own[name]["round"] if name in own else None,
        )
        for domain, name in enumerate(names)
    ]
