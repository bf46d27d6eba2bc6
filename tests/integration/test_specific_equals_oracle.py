"""What a domain may keep, against plain loops over whole tensors: every choice of parameters, and low ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch
from tests.integration import replay
from tests.integration.test_core_equals_oracle import EACH_INNER, ROUNDS, Bench
from tests.oracles import learning, specific
from tests.oracles.learning import Batch, Pass
from torch import Tensor

from mamdr.engine import inner, trace
from mamdr.parameters import Space, Specific
from mamdr.seeds import derive, generator
from mamdr.strategies import DomainRegularization, Separate, State, Strategy
from mamdr.testing import parameters_of, train

Inner = inner.SGD | inner.Adam | inner.Adagrad
DENSE = ("hidden.weight", "hidden.bias", "logit.weight", "logit.bias")
ALL = ("user.weight", "item.weight", *DENSE)

CHOICES = {
    "dense": (Specific("dense"), DENSE),
    "names": (Specific(("item.*", "logit.bias")), ("item.weight", "logit.bias")),
    "rank 1": (Specific(rank=1), ALL),
    "rank 2, dense": (Specific("dense", rank=2), DENSE),
    "rank too large to pay": (Specific(rank=4), ALL),
}
"""Settings, and the parameters that they allow. hidden.weight is 6 x 8: 1 · 14 and 2 · 14 values are fewer than 48."""


def _space(bench: Bench, setting: Specific) -> Space:
    return setting.applied(trace(bench.module, bench.data.schema))


def _keep(setting: Specific, names: tuple[str, ...]) -> specific.Keep:
    low = setting.rank if setting.rank and setting.rank < 4 else None
    return specific.keeping(names, low, ["hidden.weight"])


def _library(bench: Bench, strategy: Strategy, space: Space) -> Iterator[State]:
    state = None
    for _ in range(ROUNDS):
        state = train(
            bench.module,
            bench.data,
            strategy,
            1,
            options=bench.options,
            state=state,
            seed=replay.SEED,
            space=space,
        )
        yield state


def _close(strategy: Strategy, state: State, expected: dict[int, learning.Params]) -> None:
    for domain, want in expected.items():
        found = parameters_of(strategy.params_for(state, domain))
        for name in want:
            torch.testing.assert_close(found[name], want[name], rtol=0, atol=1e-10)


@EACH_INNER
@pytest.mark.parametrize("choice", CHOICES)
def test_domain_regularization(choice: str, rule: Inner) -> None:
    setting, names = CHOICES[choice]
    bench = Bench(rule, torch.float64)
    strategy = DomainRegularization(num_helpers=2, specific_lr=0.5, keep=0.8)
    expected = specific.domain_regularization(
        bench.oracle(),
        bench.start,
        bench.helpers(strategy),
        bench.source,
        0.5,
        _keep(setting, names),
        0.8,
    )
    for state, parts in zip(_library(bench, strategy, _space(bench, setting)), expected, strict=True):
        _close(strategy, state, {i: learning.add(bench.start, part) for i, part in parts.items()})


@pytest.mark.parametrize("choice", CHOICES)
def test_separate(choice: str) -> None:
    setting, names = CHOICES[choice]
    bench, strategy = Bench(inner.Adam(lr=0.01), torch.float64), Separate(inner_state="fresh")

    def source(domain: int, which: Pass) -> Iterator[tuple[Batch, Tensor]]:
        draw = generator(derive(replay.SEED, "separate", which.round, domain), "batches", 0)
        return ((batch, labels.double()) for batch, labels in bench.data.train.batches([domain], 8, draw))

    expected = specific.separate(bench.oracle(), bench.start, range(4), ROUNDS, source, _keep(setting, names))
    for state, models in zip(_library(bench, strategy, _space(bench, setting)), expected, strict=True):
        _close(strategy, state, models)


def test_a_rank_that_holds_everything_changes_nothing() -> None:
    """Three SGD steps of one row each move a matrix by three outer products: rank 3 loses nothing."""
    bench = Bench(inner.SGD(lr=0.3), torch.float64)
    whole = _space(bench, Specific())
    full = dataclasses.replace(whole, rank=3)  # 3 · 14 < 48
    strategy = DomainRegularization(num_helpers=1, specific_lr=1.0, helper_steps=1, own_steps=2)
    options = dataclasses.replace(bench.options, batch_size=1)
    a, b = (
        train(bench.module, bench.data, strategy, 1, options=options, space=space) for space in (whole, full)
    )
    assert b.specific[0].flat.numel() == a.specific[0].flat.numel() - 48 + 42
    for domain in range(4):
        one, two = (parameters_of(strategy.params_for(state, domain)) for state in (a, b))
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-12)
