"""A walk begun before it is asked for: the bits of one walked in its turn, and nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.unit.engine.zoo import make

from mamdr.data.domains import Batch
from mamdr.engine import Processes, Session, WalkOptions
from mamdr.engine.early import Early, stamp_of
from mamdr.errors import TrainingError
from mamdr.parameters import Ahead, LocalStore, Moments, Overlay, Point
from mamdr.strategies import MAMDR, DomainNegotiation, Leg, Outcome, State, Walk
from mamdr.strategies.chains import Chain
from mamdr.testing import TwoTables, same_bits, tiny_market, train
from mamdr.testing.lab import OPTIONS, at_work, problem_of
from mamdr.training import Trainer, TrainOptions

DATA = tiny_market((30, 21, 10, 6, 2), numeric=True)
SHARED = MAMDR(num_helpers=2, inner_state="shared", outer_lr=0.5)
MEAN = MAMDR(num_helpers=2, inner_state="shared", outer_lr=1.0, averaging=0.8, lead=0.5)


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every walk that was asked for by itself, whether it had been begun."""
    found: list[bool] = []
    begun = Processes._begun

    def spy(self: Processes, walk: Walk) -> Outcome | None:
        outcome = begun(self, walk)
        found.append(outcome is not None)
        return outcome

    monkeypatch.setattr(Processes, "_begun", spy)
    return found


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("strategy", [MAMDR(num_helpers=2), SHARED, MEAN], ids=["fresh", "shared", "mean"])
def test_the_next_shared_walk_is_begun_to_the_bits_of_walks_in_turn(
    strategy: MAMDR, rows: str, claimed: list[bool]
) -> None:
    options = WalkOptions(batch_size=8, inner=OPTIONS.inner, rows=rows)  # type: ignore[arg-type]
    one, two, three = (
        train(TwoTables(dropout=0.5), DATA, strategy, 4, options=options, jobs=jobs) for jobs in (1, 2, 3)
    )
    assert same_bits(one, two)
    assert same_bits(one, three)
    assert one.losses == two.losses
    assert one.samples == two.samples
    assert claimed == 2 * [False, True, True, True]


@pytest.mark.parametrize("strategy", [SHARED, MEAN], ids=["shared", "mean"])
def test_running_statistics_are_those_of_walks_in_turn(strategy: MAMDR, claimed: list[bool]) -> None:
    one, two = (train(make("batch norm"), DATA, strategy, 3, jobs=jobs) for jobs in (1, 2))
    assert same_bits(one, two)
    assert all(torch.equal(one.buffers[name], two.buffers[name]) for name in one.buffers)
    assert claimed == [False, True, True]


def test_a_penalty_that_grows_is_the_next_rounds(claimed: list[bool]) -> None:
    """A walk is begun with as much of the penalty as the round wants that will ask for it."""
    walk = replace(OPTIONS, embedding_l2=0.5)
    growing = {"rounds": 4, "patience": 0, "penalty_from": 0.25, "penalty_rounds": 2}
    one, two = (
        Trainer(TwoTables(dropout=0.5), DATA, MEAN, TrainOptions(**growing, **walked), walk).fit().state  # type: ignore[arg-type]
        for walked in ({"jobs": 1}, {"jobs": 2, "engine": "processes"})
    )
    assert same_bits(one, two)
    assert claimed == [False, True, True, True]


def test_one_optimizer_through_all_walks_lets_nothing_begin(claimed: list[bool]) -> None:
    strategy = MAMDR.authors(num_helpers=2)
    one, two = (train(TwoTables(dropout=0.5), DATA, strategy, 2, jobs=jobs) for jobs in (1, 2))
    assert same_bits(one, two)
    assert not any(claimed)


@pytest.mark.parametrize("what", ["shared", "moments", "nothing"])
def test_what_changes_between_rounds_is_seen(what: str, claimed: list[bool]) -> None:
    ended = []
    for jobs in (1, 2):
        with at_work(TwoTables(), DATA, jobs=jobs) as (session, run):
            state = State(LocalStore.of(session.module, session.space), seed=1)
            for round in range(2):
                state.round = round
                state = SHARED.round(state, problem_of(session), run)
                if what == "shared":
                    state.shared.push(Point.zeros(session.space).add(_ones(session), 0.1), 1.0)
                elif what == "moments":
                    state.moments["inner"].points["mean"].flat.mul_(0.5)
            ended.append(state)
            if isinstance(run, Processes):
                run.close()
    assert same_bits(*ended)
    assert claimed == [False, what == "nothing"]


def _ones(session: Session) -> Point:
    point = Point.zeros(session.space)
    point.flat.fill_(1.0)
    return point


class Slow(TwoTables):
    """Takes its time in a worker with domain 1, or does worse."""

    def __init__(self, trouble: str = "") -> None:
        super().__init__()
        self.trouble, self.parent = trouble, os.getpid()

    def forward(self, batch: Batch) -> torch.Tensor:
        logits: torch.Tensor = super().forward(batch)
        if os.getpid() == self.parent or int(batch["domain"][0]) != 1:
            return logits
        time.sleep(0.3)
        if self.trouble == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return logits * float("nan") if self.trouble == "nan" else logits


@contextmanager
def _begun(module: Slow) -> Iterator[tuple[Processes, LocalStore, Walk]]:
    """A walk of domain 1 told of, and one batch of others walked meanwhile."""
    with at_work(module, DATA, jobs=2) as (session, run):
        assert isinstance(run, Processes)
        store = LocalStore.of(session.module, session.space)
        coming = Walk(store, (Leg((1,)),), 7, Moments())
        run.early(coming)
        yield run, store, coming
        run.close()


def _others(run: Processes, store: LocalStore) -> list[int]:
    return [outcome.samples for outcome in run([Walk(store, (Leg((d,)),), d) for d in (0, 2, 3)])]


def test_it_goes_on_beside_later_batches_until_it_is_asked_for() -> None:
    with _begun(Slow()) as (run, store, coming):
        assert _others(run, store) == [30, 10, 6]
        assert run._early is not None
        assert run._early.under_way
        assert _others(run, store) == [30, 10, 6]
        (one,) = run([Walk(store, (Leg((4,)),), 3)])  # another walk by itself takes nothing away
        assert one.samples == 2
        (made,) = run([coming])
        (plain,) = map(run.walker, [coming])
        assert torch.equal(made.displacement.flat, plain.displacement.flat)
        assert made.moments is not None
        assert plain.moments is not None
        assert made.moments.step == plain.moments.step
        for name, point in plain.moments.points.items():
            assert torch.equal(made.moments.points[name].flat, point.flat)
        assert run._early is None


def test_one_chain_is_enough_to_begin_it_beside() -> None:
    with _begun(Slow()) as (run, store, coming):
        chain = Chain((Walk(Overlay(store, {}, 2), (Leg((2,)),), 1),), 0.1)
        assert [outcome.samples for come in run.chained([chain]) for _, outcome in come] == [10]
        assert run._early is not None
        assert run._early.worker is not None
        (made,) = run([coming])
        assert made.samples == 21


def test_its_trouble_is_told_to_who_asks_for_it() -> None:
    with _begun(Slow("nan")) as (run, store, coming):
        assert _others(run, store) == [30, 10, 6]
        assert _others(run, store) == [30, 10, 6]
        with pytest.raises(TrainingError, match="loss became nan in domain"):
            list(run([coming]))


def test_a_killed_worker_is_told_of() -> None:
    def ask(run: Processes, store: LocalStore, coming: Walk) -> None:
        _others(run, store)
        list(run([coming]))

    with _begun(Slow("killed")) as begun, pytest.raises(TrainingError, match="exit code -9"):
        ask(*begun)


def test_closing_leaves_nobody_behind() -> None:
    before = _children()
    with _begun(Slow()) as (run, store, _):
        _others(run, store)
        assert len(_children() - before) == 1
    assert _children() <= before


def test_training_begins_nothing_after_its_last_round_and_leaves_nobody_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, told = _children(), []
    early = Processes.early

    def spy(self: Processes, walk: Walk) -> None:
        told.append(walk.seed)
        early(self, walk)

    monkeypatch.setattr(Processes, "early", spy)
    for rounds in (1, 3):
        options = TrainOptions(rounds=rounds, jobs=2, patience=0)
        Trainer(TwoTables(), DATA, SHARED, options, OPTIONS).fit()
        assert len(told) == (0 if rounds == 1 else 2)
    assert _children() <= before


def test_a_stamp_watches_what_a_walk_begins_from() -> None:
    with at_work(TwoTables(), DATA) as (session, _):
        store, legs = LocalStore.of(session.module, session.space), (Leg((0,)),)
        lead = Point.zeros(session.space)
        ahead = Walk(Ahead(store, lead), legs, 1)
        early = Early.of(ahead)
        assert early is not None
        assert early.holds(Walk(Ahead(store, lead), legs, 1))
        assert not early.holds(Walk(Ahead(store, lead.copy()), legs, 1))
        assert not early.holds(Walk(store, legs, 1))
        assert not early.holds(Walk(Ahead(store.freezing(frozenset({"user.weight"})), lead), legs, 1))
        assert not early.holds(Walk(Ahead(store, lead), legs, 1, buffers={"mean": torch.zeros(1)}))
        with torch.no_grad():
            session.module.user.weight.add_(0.0)  # type: ignore[union-attr, operator]
        assert not early.holds(ahead)
        assert stamp_of(Walk(Overlay(store, {}, 0), legs, 1)) is None
        assert stamp_of(Walk(store, legs, 1, memory={"combiner": {}})) is None


def test_the_next_walk_is_the_one_that_the_next_round_asks_for() -> None:
    strategy = DomainNegotiation()
    with at_work(TwoTables(), DATA) as (session, run):
        asked: list[Walk] = []

        def heard(walks: Sequence[Walk]) -> Iterable[Outcome]:
            asked.extend(walks)
            return run(walks)

        problem, told = problem_of(session), []
        state = State(LocalStore.of(session.module, session.space), seed=1)
        for round in range(3):
            state.round = round
            state = strategy.round(state, problem, heard)
            told.append(strategy.next_walk(state, problem))
    assert [(walk.seed, walk.legs) for walk in asked[1:]] == [(walk.seed, walk.legs) for walk in told[:-1]]


def _children() -> set[str]:
    """This process's children, zombies too."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
