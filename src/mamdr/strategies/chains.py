"""Chains of walks: each begins where the last one's displacement was pushed to, and no chain depends on another."""

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


@runtime_checkable
class RunsChains(Protocol):
    """A `Run` that has another way with chains than one walk of each at a time."""

    def chained(self, chains: Sequence[Chain]) -> Iterable[tuple[int, Outcome]]:
        """The number of a chain and the outcome of its next walk; chains may come mixed in any order."""
        ...


def outcomes_of(run: Run, chains: Sequence[Chain]) -> Iterable[tuple[int, Outcome]]:
    """The number of a chain and the outcome of its next walk, until all have been walked."""
    return run.chained(chains) if isinstance(run, RunsChains) else by_turns(run, chains)


def by_turns(run: Run, chains: Sequence[Chain]) -> Iterator[tuple[int, Outcome]]:
    """The first walks of all chains, then the second ones, and so on: always in the same order."""
    for turn in range(max((len(chain.walks) for chain in chains), default=0)):
        going = [number for number, chain in enumerate(chains) if turn < len(chain.walks)]
        yield from zip(going, run([chains[number].walks[turn] for number in going]), strict=True)
