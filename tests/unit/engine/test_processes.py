"""Workers give the bits of one process, and their troubles reach the caller."""

from __future__ import annotations

import copy
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from tests.unit.engine.zoo import make

from mamdr.data.domains import Batch
from mamdr.engine import Processes, Walker, WalkOptions, inner
from mamdr.errors import ConfigError, ModelError, TrainingError
from mamdr.parameters import LocalStore, Specific
from mamdr.strategies import MAMDR, DomainRegularization, Leg, Walk
from mamdr.testing import TwoTables, same_bits, tiny_market, train
from mamdr.testing.lab import at_work
from mamdr.training import Trainer, TrainOptions

DATA = tiny_market((30, 21, 10, 6, 2), numeric=True)


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("rule", [inner.SGD(lr=0.1), inner.Adam(lr=0.01)], ids=["sgd", "adam"])
def test_identical_bits_with_dropout(rule: inner.SGD | inner.Adam, rows: str) -> None:
    options = WalkOptions(batch_size=8, inner=rule, rows=rows)  # type: ignore[arg-type]
    one, two, three = (
        train(TwoTables(dropout=0.5), DATA, MAMDR(num_helpers=2), 2, options=options, jobs=jobs)
        for jobs in (1, 2, 3)
    )
    assert same_bits(one, two)
    assert same_bits(one, three)


@pytest.mark.parametrize("name", ["batch norm", "random ids", "functional dropout"])
def test_identical_bits_where_modules_draw_and_remember(name: str) -> None:
    """Domain Regularization alone: nothing sets the buffers that walks start from."""
    one, two = (train(make(name), DATA, DomainRegularization(num_helpers=2), 1, jobs=jobs) for jobs in (1, 2))
    assert same_bits(one, two)


class Troubled(TwoTables):
    """Does something bad in a worker, in domain 1."""

    def __init__(self, trouble: str) -> None:
        super().__init__()
        self.trouble, self.parent = trouble, os.getpid()

    def forward(self, batch: Batch) -> torch.Tensor:
        if os.getpid() != self.parent and int(batch["domain"][0]) == 1:
            if self.trouble == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.trouble == "model":
                raise ModelError("found", "expected", "Do something")
            if self.trouble == "defect":
                raise ZeroDivisionError("in forward")
            return super().forward(batch) * float("nan")
        return super().forward(batch)


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        ("killed", TrainingError, r"ended early \(exit code -9\)"),
        ("model", ModelError, "found; expected expected. Do something"),
        ("nan", TrainingError, "loss became nan in domain"),
        ("defect", TrainingError, r"ended early \(exit code 1\)"),
    ],
)
def test_a_workers_trouble_reaches_the_caller(
    trouble: str, error: type[Exception], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with pytest.raises(error, match=message):
        train(Troubled(trouble), DATA, DomainRegularization(num_helpers=1), 1, jobs=2)
    assert time.monotonic() - started < 30
    assert ("ZeroDivisionError: in forward" in capfd.readouterr().err) == (trouble == "defect")


def test_the_module_is_its_own_again_after_a_workers_trouble() -> None:
    module = Troubled("nan")
    weight = module.user.weight
    walks = [(Leg((domain,)),) for domain in (0, 1)]
    with at_work(module, DATA, jobs=2) as (session, run):
        store = LocalStore.of(module, session.space)
        with pytest.raises(TrainingError):
            list(run([Walk(store, legs, seed) for seed, legs in enumerate(walks)]))
    assert module.user.weight is weight


def test_outcomes_come_in_the_order_of_the_walks() -> None:
    with at_work(TwoTables(), DATA, jobs=3) as (session, run):
        store = LocalStore.of(session.module, session.space)
        outcomes = list(run([Walk(store, (Leg((domain,)),), domain) for domain in (4, 0, 3, 1, 2)]))
    assert [outcome.samples for outcome in outcomes] == [2, 30, 6, 21, 10]


@pytest.mark.parametrize(
    "specific",
    [Specific(), Specific(rank=1), Specific(memory="10KB")],
    ids=["whole", "low rank", "on disk"],
)
def test_a_chain_is_walked_by_one_worker_to_the_bits_of_one_process(
    specific: Specific, tmp_path: Path
) -> None:
    """Each walk of a chain begins at what the last one left, in the worker as in the caller."""
    module, strategy = TwoTables(dropout=0.5), MAMDR(num_helpers=3, specific_lr=0.5, include_self=True)
    runs = []
    for jobs in (1, 2):
        options = TrainOptions(rounds=3, jobs=jobs, patience=0)
        trainer = Trainer(
            copy.deepcopy(module),
            DATA,
            strategy,
            options,
            WalkOptions(batch_size=8),
            specific=specific,
            folder=tmp_path / str(jobs),
        )
        runs.append(trainer.fit())
    assert same_bits(runs[0].state, runs[1].state)
    assert runs[0].state.losses == runs[1].state.losses


def test_workers_are_forked_once_a_round_for_all_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    forks: list[int] = []
    walked = Processes._walked
    monkeypatch.setattr(
        Processes, "_walked", lambda self, chains: forks.append(len(chains)) or walked(self, chains)
    )
    train(TwoTables(), DATA, MAMDR(num_helpers=4), 2, jobs=2)
    assert forks == [5, 5]


def test_leaving_early_leaves_no_worker_behind() -> None:
    before = _children()
    with at_work(TwoTables(), DATA, jobs=2) as (session, run):
        store = LocalStore.of(session.module, session.space)
        outcomes = iter(run([Walk(store, (Leg((0,)),), seed) for seed in range(6)]))
        next(outcomes)
        assert len(_children() - before) == 2
        outcomes.close()  # type: ignore[attr-defined]
    assert _children() <= before


def _children() -> set[str]:
    """This process's children, zombies too; other tests may have left some, such as multiprocessing's tracker."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_a_system_that_cannot_fork_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with at_work(TwoTables(), DATA) as (session, _), pytest.raises(ConfigError, match="cannot fork"):
        Processes(Walker(session), 2)
