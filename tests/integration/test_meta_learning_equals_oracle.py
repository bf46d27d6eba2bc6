"""MAML and MLDG, of first and second order, equal plain loops over whole parameters.

Second order is held against autograd through the unrolled loop. As in `test_core_equals_oracle`: float64 to about
1e-12, float32 to 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.integration import replay
from tests.integration.test_core_equals_oracle import EACH_INNER, EXACT, ROUNDS, Bench
from tests.oracles import meta as oracle
from tests.oracles.meta import Batch, Step
from tests.oracles.optimizers import Params

from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner, meta
from mamdr.seeds import derive, generator
from mamdr.strategies import MAML, MLDG, State
from mamdr.testing import parameters_of

Inner = inner.SGD | inner.Adam | inner.Adagrad
ORDER = pytest.mark.parametrize("order", [1, 2], ids=["first", "second"])
LAZY = [inner.SGD(lr=0.3), inner.Adagrad(lr=0.05)]


def _close(found: Params, expected: Params, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=tolerance)


def _tasks(data: Dataset, share: float, size: int, r: int) -> list[list[Step]]:
    """Each domain's mini-batches of a round, support and query."""
    tasks = []
    for domain in range(len(data.schema.domains)):
        draw = generator(derive(replay.SEED, "maml", r, domain), "batches", 0)
        split = derive(replay.SEED, "support", domain)
        drawn = data.train.support_and_query(domain, share, split, size, draw)
        pairs = (oracle.cut(*each) for each in drawn)
        tasks.append([([support], [query]) for support, query in pairs])
    return tasks


def _mixed(data: Dataset, share: float, size: int, r: int) -> Iterator[Step]:
    """The mini-batches of an MLDG round, by group and by domain."""
    seed = derive(replay.SEED, "negotiation", r)
    draw, virtual = generator(seed, "batches", 0), generator(seed, "virtual", 0)
    for part in data.train.batches(range(len(data.schema.domains)), size, draw):
        groups = [_each_domain(*group) for group in meta.by_domain(part, share, virtual)]
        yield groups[0], groups[1] if len(groups) == 2 else []


def _each_domain(inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> list[Batch]:
    masks = [inputs["domain"] == domain for domain in inputs["domain"].unique()]
    return [({name: column[mask] for name, column in inputs.items()}, labels[mask]) for mask in masks]


def _maml(bench: Bench, strategy: MAML, tolerance: float) -> Params:
    """Compare every round; the last one's parameters."""
    shared = bench.start
    for r, state in enumerate(bench.library(strategy)):
        shared = oracle.maml_round(
            bench.make,
            shared,
            lambda params, step: oracle.maml_gradient(
                bench.module, params, step, strategy.rate, strategy.inner_steps, strategy.order
            ),
            _tasks(bench.data, strategy.share, 8, r),
            strategy.outer_lr,
        )
        _close(parameters_of(state.shared), shared, tolerance)
    return shared


@ORDER
@EXACT
@EACH_INNER
def test_maml(rule: Inner, dtype: torch.dtype, tolerance: float, order: int) -> None:
    bench = Bench(rule, dtype)
    end = _maml(bench, MAML(order=order, rate=0.8, share=0.6, outer_lr=0.7), tolerance)  # type: ignore[arg-type]
    assert all(not torch.allclose(end[name], bench.start[name], atol=1e-3) for name in bench.start)


@ORDER
def test_maml_over_several_inner_steps(order: int) -> None:
    bench = Bench(inner.Adam(lr=0.01), torch.float64)
    _maml(bench, MAML(order=order, rate=0.8, inner_steps=3), 1e-12)  # type: ignore[arg-type]


@ORDER
@pytest.mark.parametrize("rule", LAZY, ids=["sgd", "adagrad"])
def test_maml_over_lazy_tables(rule: Inner, order: int) -> None:
    bench = Bench(rule, torch.float64)
    bench.options = WalkOptions(batch_size=8, inner=rule, rows="lazy")
    _maml(bench, MAML(order=order, rate=0.8, inner_steps=2), 1e-12)  # type: ignore[arg-type]


def test_the_orders_differ() -> None:
    ends = []
    for order in (1, 2):
        bench = Bench(inner.SGD(lr=0.3), torch.float64)
        ends.append(_maml(bench, MAML(order=order, rate=0.8), 1e-12))  # type: ignore[arg-type]
    assert all(not torch.allclose(ends[0][name], ends[1][name], atol=1e-5) for name in ends[0])


def _mldg(bench: Bench, strategy: MLDG, tolerance: float) -> list[State]:
    descent = oracle.Descent(bench.make, bench.start)
    states = bench.library(strategy)
    for r, state in enumerate(states):
        end = descent.walk(
            lambda params, step: oracle.mldg_gradient(
                bench.module, params, step, strategy.rate, strategy.weight, strategy.order
            ),
            _mixed(bench.data, 1 - strategy.test_share, 8, r),
        )
        _close(parameters_of(state.shared), end, tolerance)
    return states


@ORDER
@EXACT
@EACH_INNER
def test_mldg(rule: Inner, dtype: torch.dtype, tolerance: float, order: int) -> None:
    bench = Bench(rule, dtype)
    states = _mldg(bench, MLDG(order=order, rate=0.8, weight=1.5, test_share=0.4), tolerance)  # type: ignore[arg-type]
    assert len(states) == ROUNDS
    end = parameters_of(states[-1].shared)
    assert all(not torch.allclose(end[name], bench.start[name], atol=1e-3) for name in bench.start)


@ORDER
@pytest.mark.parametrize("rule", LAZY, ids=["sgd", "adagrad"])
def test_mldg_over_lazy_tables(rule: Inner, order: int) -> None:
    bench = Bench(rule, torch.float64)
    bench.options = WalkOptions(batch_size=8, inner=rule, rows="lazy")
    _mldg(bench, MLDG(order=order, rate=0.8), 1e-12)  # type: ignore[arg-type]
