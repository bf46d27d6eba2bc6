"""What a `Run` may offer beside walks that do not depend on each other: chains of walks, and walks begun early.

In a chain each walk begins where the last one's displacement was pushed to, and no chain depends on another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mamdr.strategies.protocol import Outcome, Run, Walk


@dataclass(frozen=True)
class Chain:
    """Walks from one store, one after another.

    Args:
        walks: at least one.
        rate: how much of each one's displacement is pushed to the store before the next walk: by who asked for the
            chain, when the outcome comes.
    """

    walks: tuple[Walk, ...]
    rate: float


Together = list[tuple[int, Outcome]]
"""Outcomes that are valid side by side until the next ones are asked for, each with the number of its chain."""


@runtime_checkable
class RunsChains(Protocol):
    """A `Run` that has another way with chains than one walk of each at a time."""

    def chained(self, chains: Sequence[Chain], ordered: bool = False) -> Iterable[Together]:
        """The outcomes of all walks: each chain's in order. Chains may come mixed in any order; `ordered`, in that of
        `by_turns`."""
        ...


@runtime_checkable
class WalksEarly(Protocol):
    """A `Run` that may walk what will be asked for later beside what it is asked for now."""

    def early(self, walk: Walk) -> None:
        """This walk will be asked for, by itself, when what is asked for next is done."""
        ...

    def close(self) -> None:
        """No walk will be asked for any more."""
        ...


def outcomes_of(run: Run, chains: Sequence[Chain], ordered: bool = False) -> Iterable[Together]:
    """The outcomes of all walks of the chains; each is to be pushed before the next ones are asked for."""
    return run.chained(chains, ordered) if isinstance(run, RunsChains) else by_turns(run, chains)


def begin_early(run: object, walk: Walk) -> None:
    """Tell of a walk that will be asked for, if it is one who may begin it."""
    if isinstance(run, WalksEarly):
        run.early(walk)


def end_early(run: object) -> None:
    """Tell that no walk will be asked for any more."""
    if isinstance(run, WalksEarly):
        run.close()


def by_turns(run: Run, chains: Sequence[Chain]) -> Iterator[Together]:
    """One by one: the first walks of all chains, then the second ones, and so on, always in the same order."""
    for numbers, walks in turns(chains):
        for number, outcome in zip(numbers, run(walks), strict=True):
            yield [(number, outcome)]


def turns(chains: Sequence[Chain]) -> Iterator[tuple[list[int], list[Walk]]]:
    """For each turn the numbers of the chains that still go on, and the walk of each."""
    for turn in range(max((len(chain.walks) for chain in chains), default=0)):
        going = [number for number, chain in enumerate(chains) if turn < len(chain.walks)]
        yield going, [chains[number].walks[turn] for number in going]
