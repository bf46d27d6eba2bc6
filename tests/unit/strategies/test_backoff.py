"""Domains whose parts are dropped rest, longer each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mamdr.parameters import LocalStore
from mamdr.strategies import DomainRegularization, State, Walk
from mamdr.testing import TwoTables, tiny_market
from mamdr.testing.lab import at_work, problem_of


def walked(strategy: DomainRegularization, rounds: int, dropped: dict[int, set[int]]) -> dict[int, list[int]]:
    """By domain the rounds that walked for it, where after each round the parts of these domains are dropped."""
    found: dict[int, list[int]] = {}
    with at_work(TwoTables(), tiny_market()) as (session, run):
        state = State(LocalStore.of(session.module, session.space), seed=1)

        def heard(walks: Sequence[Walk]) -> Iterator[Any]:
            for walk in walks:
                found.setdefault(walk.legs[-1].domains[0], []).append(state.round)
            yield from run(walks)

        for number in range(rounds):
            state = strategy.round(state, problem_of(session), heard)
            state.round += 1
            for domain in dropped.get(number, set()):
                state.specific.pop(domain, None)
    return found


def test_a_part_that_is_dropped_each_time_is_walked_for_ever_more_rarely() -> None:
    always = {number: {1} for number in range(40)}
    found = walked(DomainRegularization(num_helpers=1, backoff=True), 40, always)
    assert found[1] == [0, 2, 5, 10, 19, 28, 37]  # rests of 1, 2, 4, 8, 8 and 8 rounds
    assert all(found[domain] == list(range(40)) for domain in (0, 2, 3))


def test_a_part_that_comes_to_something_ends_the_rests() -> None:
    found = walked(DomainRegularization(num_helpers=1, backoff=True), 12, {0: {1}, 2: {1}, 8: {1}})
    assert found[1] == [0, 2, 5, 6, 7, 8, 10, 11]


@pytest.mark.parametrize("helpers", [1, 2])
def test_without_it_every_round_walks_for_all(helpers: int) -> None:
    found = walked(DomainRegularization(num_helpers=helpers), 3, {0: {1}, 1: {1}})
    assert found[1] == [number for number in range(3) for _ in range(helpers)]
