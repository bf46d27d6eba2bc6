"""Stopping after any round and going on gives the bits of a run that was never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.unit.training.runs import assert_same_run, events_of, odd_market, train

from mamdr.combiners import PCGrad, WeightedLoss
from mamdr.parameters import outer
from mamdr.strategies import (
    MAMDR,
    MAML,
    MLDG,
    Alternate,
    Combined,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Joint,
    Reptile,
    Separate,
    Strategy,
    Then,
)
from mamdr.testing import TwoTables

STRATEGIES: dict[str, Strategy] = {
    "alternate with its kept Adam": Alternate(),
    "dn": DomainNegotiation(),
    "dn with outer adagrad": DomainNegotiation(outer=outer.Adagrad(lr=0.01)),
    "dn with outer adam": DomainNegotiation(outer=outer.Adam(lr=0.01)),
    "dn with outer nesterov": DomainNegotiation(outer=outer.Nesterov()),
    "dr": DomainRegularization(num_helpers=2, specific_lr=0.5),
    "mamdr": MAMDR(num_helpers=2),
    "mamdr as the authors": MAMDR.authors(num_helpers=1),
    "mamdr, fine-tuned": Finetune(MAMDR(num_helpers=1)),
    "joint": Joint(),
    "maml": MAML(steps=2, inner_state="kept"),
    "mldg": MLDG(),
    "pcgrad": Combined(PCGrad()),
    "reptile": Reptile(),
    "separate": Separate(),
    "weighted loss, fine-tuned": Finetune(Combined(WeightedLoss(lr=0.1))),
    "dn, then dr on own rows": Then(DomainNegotiation(), DomainRegularization(num_helpers=1, rows="own")),
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_run_stopped_after_every_round_equals_one_that_was_not(
    strategy: Strategy, jobs: int, tmp_path: Path
) -> None:
    train(tmp_path / "straight", strategy, rounds=3)
    for rounds in (1, 2, 3):
        train(tmp_path / "stopped", strategy, rounds=rounds, jobs=jobs, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


@pytest.mark.parametrize("name", ["mamdr", "separate", "reptile"])
def test_walks_in_lock_step_go_on_to_the_bit(name: str, tmp_path: Path) -> None:
    """On domains of every awkward kind, with nothing to tell: no walk was walked by itself for what it is."""
    sittings = (("straight", 3), ("stopped", 1), ("stopped", 3))
    for place, rounds in sittings:
        module, data = TwoTables(dropout=0.3), odd_market()
        settings = {"module": module, "data": data, "engine": "batched", "resume": True}
        train(tmp_path / place, STRATEGIES[name], rounds=rounds, **settings)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    assert not any("notes" in event for event in events_of(tmp_path / "straight", "round"))


def test_what_lock_step_cannot_do_is_told_once_and_is_as_ever(tmp_path: Path) -> None:
    train(tmp_path / "in turn", rounds=3)
    train(tmp_path / "batched", rounds=3, engine="batched")
    first, *others = events_of(tmp_path / "batched", "round")
    assert first["notes"] == ["The batched engine walks one by one what has batch normalisation"]
    assert not any("notes" in event for event in others)
    last = Path("checkpoints", "round-00003", "state.safetensors")
    one, other = (load_file(tmp_path / run / last) for run in ("in turn", "batched"))
    assert all(torch.equal(one[key], other[key]) for key in one.keys() | other.keys())


def test_two_rounds_at_once_equal_one_and_one(tmp_path: Path) -> None:
    train(tmp_path / "straight", rounds=4)
    train(tmp_path / "stopped", rounds=1)
    train(tmp_path / "stopped", rounds=4, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    starts = events_of(tmp_path / "stopped", "start")
    assert [(event["round"], event["rounds"]) for event in starts] == [(0, 1), (1, 4)]


def test_resuming_a_run_that_is_done_changes_nothing(tmp_path: Path) -> None:
    train(tmp_path / "straight", rounds=2)
    train(tmp_path / "again", rounds=2)
    train(tmp_path / "again", rounds=2, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "again")


def test_early_stopping_counts_across_sittings(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", rounds=12, patience=2)
    assert straight.info["stopped_by"] == "validation"
    last = straight.info["last_round"]
    assert 3 <= last < 12
    train(tmp_path / "stopped", rounds=last - 1, patience=2)
    train(tmp_path / "stopped", rounds=12, patience=2, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    train(tmp_path / "stopped", rounds=12, patience=2, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_more_patience_lets_a_stopped_run_go_on(tmp_path: Path) -> None:
    first = train(tmp_path / "run", rounds=12, patience=1).info["last_round"]
    train(tmp_path / "straight", rounds=first + 1, patience=12)
    train(tmp_path / "run", rounds=first + 1, patience=12, resume=True)
    assert_same_run(tmp_path / "straight", tmp_path / "run")
