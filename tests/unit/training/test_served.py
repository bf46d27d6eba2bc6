"""What is told of what serves each domain: the share of its own part, and a round of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.training import test_own_rounds, test_shares

import mamdr
from mamdr.models import build
from mamdr.strategies import State
from mamdr.training import Run
from mamdr.training.events import Event
from mamdr.training.served import Served, what_serves

NAMES = ("a", "b", "c")
MAMDR = mamdr.strategies.MAMDR(num_helpers=1, specific_lr=1.0)


@pytest.fixture(scope="module")
def state() -> State:
    """Of a run of four domains, each with a part of its own."""
    return test_shares.train(shares=test_shares.SHARES).state


def own_rounds(round: int, **domains: tuple[int, float]) -> Event:
    told = {name: {"round": own, "share": share, "val_auc": 0.6} for name, (own, share) in domains.items()}
    return {"event": "own_rounds", "round": round, "domains": told}


def test_a_share_is_told_of_a_domain_with_a_part_alone(state: State) -> None:
    part = state.specific[0]
    some = replace(state, specific={0: part}, tuned={2: part}, shares={0: 0.5, 1: 0.25})
    assert what_serves(some, [], NAMES) == [Served(0.5, None), Served(None, None), Served(1.0, None)]


def test_the_newest_event_tells_own_rounds(state: State) -> None:
    part = state.specific[0]
    some = replace(state, specific={0: part, 2: part}, shares={}, chosen={0: part, 1: part}, round=4)
    events = [
        own_rounds(4, a=(1, 0.0), b=(1, 1.0)),
        own_rounds(4, a=(3, 0.25), b=(5, 1.0)),
        {"event": "stop"},
    ]
    assert what_serves(some, events, NAMES) == [Served(0.25, 3), Served(None, 5), Served(1.0, None)]


def test_an_event_of_another_best_round_tells_nothing(state: State) -> None:
    some = replace(state, chosen={0: state.specific[0]}, round=6)
    assert what_serves(some, [own_rounds(6, a=(1, 0.0)), own_rounds(5, a=(2, 1.0))], NAMES) is None
    assert what_serves(some, [], NAMES) is None


def test_a_run_tells_what_scores_its_domains(tmp_path: Path) -> None:
    test_own_rounds.train(tmp_path / "run", 2, strategy=MAMDR)
    run = test_own_rounds.train(tmp_path / "run", 6, strategy=MAMDR, resume=True)
    served = run.served
    assert served is not None
    assert {domain.share for domain in served} == {1.0}
    assert len({domain.own_round for domain in served}) > 1, "domains that peak together test nothing"
    rounds, aucs = test_own_rounds.by_round(run), run.evaluate("val").aucs
    for name, domain in zip(run.data.schema.domains, served, strict=True):
        assert domain.own_round is not None
        assert aucs[name] == rounds[domain.own_round - 1][name]
    told = run.summary("test")["domains"]
    assert [(row["share"], row["own_round"]) for row in told.values()] == [
        (domain.share, domain.own_round) for domain in served
    ]


def test_shares_are_told_and_no_round_of_its_own(tmp_path: Path) -> None:
    run = test_shares.train(folder=tmp_path / "run", shares=test_shares.SHARES)
    assert run.served == [Served(run.state.shares[domain], None) for domain in range(4)]


def test_without_parts_of_their_own_nothing_serves_domains_but_shared() -> None:
    run = test_own_rounds.train(None, 1, choose="run")
    assert run.served == [Served(None, None)] * 4


class KilledError(Exception):
    """As a kill would end training."""


class Kill:
    """Ends training after a round."""

    def __init__(self, after: int) -> None:
        self.after = after

    def hear(self, event: Event) -> None:
        if event["event"] == "round" and event["round"] > self.after:
            raise KilledError

    def walked(self, rows: int) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_unfinished_run_tells_nothing_rather_than_what_may_be_wrong(tmp_path: Path) -> None:
    """Its domains are served by rounds of their own already, and no event tells of them yet."""
    with pytest.raises(KilledError):
        test_own_rounds.train(tmp_path / "run", 6, listeners=[Kill(3)])
    market = test_shares.data()
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    run = Run.open(tmp_path / "run", module=module, data=market)
    assert run.state.chosen
    assert run.served is None
    assert all("share" not in row and "own_round" not in row for row in run.summary()["domains"].values())
