"""The traditional and meta-learning frameworks equal plain loops over deep copies of the whole module.

As in `test_core_equals_oracle`: float64 to about 1e-12, float32 to 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from tests.integration import replay
from tests.integration.test_core_equals_oracle import EACH_INNER, EXACT, ROUNDS, Bench
from tests.oracles import learning, optimizers
from tests.oracles.learning import Batch, Params, Pass, Source
from torch import Tensor

from mamdr.engine import inner
from mamdr.parameters import outer
from mamdr.seeds import derive, generator
from mamdr.strategies import Alternate, DomainRegularization, Finetune, Joint, Reptile, Separate
from mamdr.testing import parameters_of, tiny_market

Inner = inner.SGD | inner.Adam | inner.Adagrad


def _close(found: Params, expected: Params, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=tolerance)


def _source(bench: Bench, dtype: torch.dtype, *domains: int) -> Source:
    """The batches of each pass over one domain (or over `domains`, mixed) in a walk that the target names."""

    def find(domain: int, which: Pass) -> Iterator[tuple[Batch, Tensor]]:
        if which.target is None:
            seed = derive(replay.SEED, "negotiation", which.round)
        else:
            seed = derive(replay.SEED, which.method, which.round, which.target)
        draw = generator(seed, "batches", which.leg)
        drawn = bench.data.train.batches(domains or [domain], bench.options.batch_size, draw)
        return ((batch, labels.to(dtype)) for batch, labels in drawn)

    return find


@EXACT
@EACH_INNER
def test_joint(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench = Bench(rule, dtype)
    everything = _source(bench, dtype, 0, 1, 2, 3)
    passes = [list(everything(0, Pass(r, "joint", 0))) for r in range(ROUNDS)]
    assert [sum(len(labels) for _, labels in batches) for batches in passes] == [76] * ROUNDS
    expected = learning.joint(bench.oracle(keep=True), bench.start, passes)
    for state, want in zip(bench.library(Joint()), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)


@EXACT
@EACH_INNER
def test_separate(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench, strategy = Bench(rule, dtype), Separate()
    walkers = {domain: bench.oracle(keep=True) for domain in range(4)}
    expected = learning.separate(walkers, bench.start, ROUNDS, _source(bench, dtype))
    for state, want in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), bench.start, 0.0)
        for domain, model in want.items():
            _close(parameters_of(strategy.params_for(state, domain)), model, tolerance)


@EXACT
@EACH_INNER
def test_reptile(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench = Bench(rule, dtype)
    orders = [range(4)] * ROUNDS
    expected = learning.reptile(bench.oracle(), bench.start, orders, _source(bench, dtype), 0.7)
    for state, want in zip(bench.library(Reptile(outer_lr=0.7)), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    assert all(not torch.allclose(expected[-1][name], bench.start[name], atol=1e-3) for name in bench.start)


def test_reptile_by_an_outer_optimizer_with_one_kept_inner_one() -> None:
    """The domains touch every row, so that an optimizer over whole tables does the same."""
    bench = Bench(inner.Adam(lr=0.01), torch.float64, tiny_market((260, 240, 220)))
    expected = learning.reptile(
        bench.oracle(keep=True),
        bench.start,
        bench.orders,
        _source(bench, torch.float64),
        optimizers.Adam(0.05),
    )
    strategy = Reptile(outer=outer.Adam(lr=0.05), inner_state="kept")
    for state, want in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), want, 1e-12)


@EXACT
@EACH_INNER
def test_alternate_and_finetune(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench, strategy = Bench(rule, dtype), Finetune(after=Alternate(), passes=2, share=0.8)
    alternate = learning.alternate(bench.oracle(keep=True), bench.start, bench.orders, bench.source)
    for r, (state, shared) in enumerate(zip(bench.library(strategy), alternate, strict=True)):
        _close(parameters_of(state.shared), shared, tolerance)
        served = dict.fromkeys(range(4), shared)
        expected = learning.finetune(bench.oracle(), served, _source(bench, dtype), 2, 0.8, r)
        for domain, want in expected.items():
            _close(parameters_of(strategy.params_for(state, domain)), want, tolerance)


@EXACT
@EACH_INNER
def test_finetune_after_specific_parts(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench, after = Bench(rule, dtype), DomainRegularization(num_helpers=2, specific_lr=0.5)
    strategy, drawn = Finetune(after=after), bench.helpers(after)
    parts = learning.domain_regularization(bench.oracle(), bench.start, drawn, bench.source, 0.5)
    for r, (state, specific) in enumerate(zip(bench.library(strategy), parts, strict=True)):
        served = {domain: learning.add(bench.start, part) for domain, part in specific.items()}
        expected = learning.finetune(bench.oracle(), served, _source(bench, dtype), 1, 1.0, r)
        for domain, want in expected.items():
            _close(parameters_of(state.specific[domain]), specific[domain], tolerance)
            _close(parameters_of(strategy.params_for(state, domain)), want, tolerance)
