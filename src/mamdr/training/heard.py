"""Walks that listeners hear of, held back by as much as the round wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mamdr.strategies import Outcome, Run, Walk
from mamdr.strategies.chains import Chain, Together, begin_early, end_early, outcomes_of
from mamdr.training.events import Listeners


@dataclass
class Heard:
    """Walks as before, with listeners told of each outcome's rows.

    Args:
        hold: the share of the penalty (`Walk.hold`) in the round after so many.
        round: how many rounds there were before this one.
        last: whether no round comes after this one, so that nothing is begun for it.
    """

    walks: Run
    listeners: Listeners
    hold: Callable[[int], float]
    round: int = 0
    last: bool = False

    def __call__(self, batch: Sequence[Walk]) -> Iterator[Outcome]:
        for outcome in self.walks(self._held(batch)):
            self.listeners.walked(outcome.samples)
            yield outcome

    def chained(self, chains: Sequence[Chain], ordered: bool = False) -> Iterator[Together]:
        held = [replace(chain, walks=tuple(self._held(chain.walks))) for chain in chains]
        for come in outcomes_of(self.walks, held, ordered):
            for _, outcome in come:
                self.listeners.walked(outcome.samples)
            yield come

    def early(self, walk: Walk) -> None:
        """The next round's shared walk, if there is a next round."""
        if not self.last:
            begin_early(self.walks, replace(walk, hold=self.hold(self.round + 1)))

    def close(self) -> None:
        """End what was begun for a round that does not come."""
        end_early(self.walks)

    def _held(self, walks: Sequence[Walk]) -> list[Walk]:
        hold = self.hold(self.round)
        return [replace(walk, hold=hold) for walk in walks]
