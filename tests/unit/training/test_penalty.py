"""A penalty on embedding rows that grows from round to round, whoever walks."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.engine.ray import lab
from tests.unit.training.runs import assert_same_run

from mamdr.engine import Session, WalkOptions
from mamdr.errors import MamdrError
from mamdr.strategies import MAMDR, Alternate, Strategy
from mamdr.testing import TwoTables, same_bits, tiny_market
from mamdr.testing.lab import OPTIONS
from mamdr.training import Run, Trainer, TrainOptions
from mamdr.training.fit import fit

HELD = replace(OPTIONS, embedding_l2=0.5, embedding_l2_per="pass")
GROWS: dict[str, Any] = {"penalty_from": 0.25, "penalty_rounds": 2}
SAFE = MAMDR(num_helpers=2, inner_state="shared", outer_lr=1.0, averaging=0.8, lead=0.5)


def train(
    strategy: Strategy,
    rounds: int,
    walk: WalkOptions = HELD,
    folder: Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    options = TrainOptions(rounds=rounds, patience=0, **settings)
    trainer = Trainer(TwoTables(dropout=0.3), tiny_market(), strategy, options, walk, folder=folder)
    return trainer.fit(resume=resume)


@pytest.mark.parametrize("rounds", [1, 2, 7])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_it_grows_by_one_factor_from_its_first_share_to_all(share: float, rounds: int) -> None:
    hold = TrainOptions(penalty_from=share, penalty_rounds=rounds).hold
    assert hold(0) == share
    assert [hold(rounds), hold(rounds + 1), hold(1000)] == [1, 1, 1]
    steps = [hold(round + 1) / hold(round) for round in range(rounds)]
    assert steps == pytest.approx([share ** (-1 / rounds)] * rounds)
    assert math.prod(steps) == pytest.approx(1 / share)


@pytest.mark.parametrize(
    "settings", [{"penalty_from": 0.0}, {"penalty_from": 1.5}, {"penalty_rounds": 0}], ids=repr
)
def test_what_is_no_share_and_no_number_of_rounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MamdrError, match=next(iter(settings))):
        fit(TwoTables(), tiny_market(), Alternate(), **settings)


def test_no_penalty_cannot_grow() -> None:
    with pytest.raises(
        MamdrError, match=r"penalty_from = 0.25 with walk.embedding_l2 = 0.*Set walk.embedding_l2"
    ):
        train(SAFE, 1, OPTIONS, **GROWS)


@pytest.mark.parametrize("rows", ["dense", "lazy", "sparse"])
@pytest.mark.parametrize("per", ["touch", "pass", "row"])
def test_the_first_round_is_one_of_that_share_of_the_penalty(per: Any, rows: Any) -> None:
    walk = replace(HELD, embedding_l2_per=per, rows=rows)
    grown = train(SAFE, 1, walk, **GROWS)
    assert same_bits(grown.state, train(SAFE, 1, replace(walk, embedding_l2=0.125)).state)
    assert not same_bits(grown.state, train(SAFE, 1, walk).state)


@pytest.mark.parametrize("engine", ["sequential", "batched"])
def test_every_walk_of_a_round_is_held_back_alike(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[float]] = []
    penalty, made = Session.penalty, MAMDR.round

    def noted(self: Session, table: int, ids: Any, hold: float) -> Any:
        seen[-1].add(hold)
        return penalty(self, table, ids, hold)

    def round(self: MAMDR, *given: Any) -> Any:
        seen.append(set())
        return made(self, *given)

    monkeypatch.setattr(Session, "penalty", noted)
    monkeypatch.setattr(MAMDR, "round", round)
    train(SAFE, 4, engine=engine, **GROWS)
    assert seen == [{0.25}, {0.5}, {1.0}, {1.0}]


@pytest.mark.parametrize("strategy", [SAFE, Alternate()], ids=["mamdr", "alternate"])
def test_stopped_while_it_grows_it_goes_on(strategy: Strategy, tmp_path: Path) -> None:
    train(strategy, 4, folder=tmp_path / "straight", **GROWS)
    train(strategy, 1, folder=tmp_path / "stopped", **GROWS)
    train(strategy, 4, folder=tmp_path / "stopped", resume=True, **GROWS)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_on_a_cluster_it_grows_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "OPTIONS", HELD)
    monkeypatch.setattr(lab, "_options", lambda rounds: TrainOptions(rounds=rounds, patience=0, **GROWS))
    strategy = MAMDR(num_helpers=2)
    here, there = lab.on_one_machine(strategy, 3), lab.on_a_cluster(strategy, 3, shards=2, workers=2)
    assert same_bits(here, there)
    monkeypatch.setattr(lab, "_options", lambda rounds: TrainOptions(rounds=rounds, patience=0))
    assert not same_bits(here, lab.on_one_machine(strategy, 3))
