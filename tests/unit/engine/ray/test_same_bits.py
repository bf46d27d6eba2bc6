"""A cluster trains what one process trains, whatever it consists of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.ray.lab import cluster_trainer, last_state, on_a_cluster, on_one_machine

from mamdr.engine.ray.here import Here
from mamdr.engine.ray.peers import Pending
from mamdr.errors import ConfigError
from mamdr.parameters.outer import Adagrad, Adam, Nesterov
from mamdr.strategies import (
    MAMDR,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Freeze,
    Joint,
    Reptile,
    Separate,
    Strategy,
    Then,
)
from mamdr.testing import NormedTables, TiedTables, same_bits

STRATEGIES = [
    MAMDR(num_helpers=2),
    MAMDR(num_helpers=2, outer=Adagrad(lr=0.3), rows="own"),
    MAMDR(num_helpers=1, outer=Nesterov(), keep=0.9),
    MAMDR(num_helpers=1, outer=Adam(lr=0.1), start="random"),
    MAMDR.authors(1),
    Alternate(),
    Joint(),
    Reptile(),
    Separate(),
    Finetune(after=DomainNegotiation()),
    Freeze(MAMDR(num_helpers=1), frozen=("item.*",)),
    Then(DomainRegularization(num_helpers=1), DomainNegotiation()),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: repr(s)[:40])
def test_one_unit_gives_the_bits_of_one_process(strategy: Strategy) -> None:
    assert same_bits(
        on_one_machine(strategy, 2), on_a_cluster(strategy, 2, shards=2, workers=2, keep_rows=20)
    )


@pytest.mark.parametrize("module", [NormedTables, TiedTables])
def test_whatever_the_module(module: type) -> None:
    strategy = MAMDR(num_helpers=1)
    here, there = (train(strategy, 2, module) for train in (on_one_machine, on_a_cluster))
    assert same_bits(here, there)


@pytest.mark.parametrize(("units", "rule"), [(1, None), (3, Adagrad(lr=0.3))])
def test_any_number_of_shards_and_workers_gives_the_same_bits(units: int, rule: Adagrad | None) -> None:
    strategy, states = MAMDR(num_helpers=2, outer=rule), []
    for shards in (1, 2, 3):
        for workers in (1, 2, 4):
            states.append(on_a_cluster(strategy, units=units, shards=shards, workers=workers))
    assert all(same_bits(states[0], state) for state in states[1:])


def test_more_units_train_something_else() -> None:
    strategy = MAMDR(num_helpers=1)
    one, two, summed = (
        on_a_cluster(strategy, 2, units=units, combine=combine)
        for units, combine in ((1, "mean"), (2, "mean"), (2, "sum"))
    )
    assert not same_bits(one, two)
    assert not same_bits(two, summed)


def test_what_workers_keep_between_walks_makes_no_difference() -> None:
    strategy = MAMDR(num_helpers=2)
    assert same_bits(on_a_cluster(strategy, 2, keep_rows=0), on_a_cluster(strategy, 2))


def test_without_caches_the_same_is_trained() -> None:
    strategy = MAMDR(num_helpers=1)
    assert same_bits(on_a_cluster(strategy, 2, cache=False), on_a_cluster(strategy, 2))


def test_processes_may_come_and_go_between_rounds(tmp_path: Path) -> None:
    strategy = MAMDR(num_helpers=2, outer=Adagrad(lr=0.3))
    sizes = iter([(3, 1), (1, 4)])

    class Resizes:
        def hear(self, event: dict[str, object]) -> None:
            if event["event"] == "round" and (size := next(sizes, None)):
                trainer.resize(*size)

        def walked(self, rows: int) -> None: ...

        def close(self) -> None: ...

    trainer = cluster_trainer(strategy, tmp_path / "run", listeners=[Resizes()], units=2, shards=2, workers=2)
    trainer.fit()
    assert trainer.cluster.workers == 4
    assert same_bits(on_a_cluster(strategy, units=2), last_state(trainer, 3))


class AnyFirst(Here):
    """Answers come in any order."""

    def first(self, answers: Sequence[Pending]) -> int:
        return len(answers) - 1


@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_as_they_come_no_unit_misses_more_than_it_may(tmp_path: Path, staleness: int) -> None:
    stale: list[int] = []

    class Hears:
        def hear(self, event: dict[str, Any]) -> None:
            stale.extend(event.get("cluster", {}).get("stale", []))

        def walked(self, rows: int) -> None: ...

        def close(self) -> None: ...

    trainer = cluster_trainer(
        MAMDR(num_helpers=1),
        tmp_path / "run",
        1,
        launcher=AnyFirst(),
        listeners=[Hears()],
        staleness=staleness,
        units=5,
        workers=2,
    )
    trainer.fit()
    assert max(stale) == staleness
    assert last_state(trainer, 1).moments["outer"].step == len(stale) == 5


def test_several_units_need_a_fresh_inner_optimizer() -> None:
    with pytest.raises(ConfigError, match="inner_state"):
        on_a_cluster(Alternate(), 1, units=2)
