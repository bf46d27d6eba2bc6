"""DN, DR and MAMDR over compact points equal the paper's algorithms on deep copies of the whole module.

In float64 to about 1e-12, which shows that the two are the same mathematics; in float32 to 1e-6.
"""

from __future__ import annotations

import pytest
import torch
from tests.integration import replay
from tests.oracles import learning, optimizers
from tests.oracles.learning import Params

from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.parameters import outer
from mamdr.strategies import MAMDR, Alternate, DomainNegotiation, DomainRegularization, State, Strategy
from mamdr.testing import TwoTables, parameters_of, tiny_market, train

ROUNDS = 3
INNER = [inner.SGD(lr=0.3), inner.Adam(lr=0.01), inner.Adagrad(lr=0.05)]
EXACT = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["float64", "float32"]
)
EACH_INNER = pytest.mark.parametrize("rule", INNER, ids=["sgd", "adam", "adagrad"])


class Bench:
    """One module and market, trained by the library and by the oracle."""

    def __init__(
        self, rule: inner.SGD | inner.Adam | inner.Adagrad, dtype: torch.dtype, data: Dataset | None = None
    ) -> None:
        self.module = TwoTables().to(dtype)
        self.data = tiny_market() if data is None else data
        self.options = WalkOptions(batch_size=8, inner=rule, rows="dense")
        self.make = replay.torch_optimizer(rule)
        self.start = learning.parameters_of(self.module)
        self.source = replay.source(self.data, 8, dtype)
        self.orders = replay.orders(self.module, self.data, ROUNDS)

    def oracle(self, keep: bool = False) -> learning.Walker:
        return learning.Walker(self.module, self.make, keep)

    def library(self, strategy: Strategy) -> list[State]:
        """The state after each round."""
        states: list[State] = []
        for _ in range(ROUNDS):
            last = states[-1] if states else None
            states.append(
                train(self.module, self.data, strategy, 1, options=self.options, state=last, seed=replay.SEED)
            )
        return states

    def helpers(self, strategy: DomainRegularization) -> list[dict[int, list[int]]]:
        return replay.helpers(self.module, self.data, ROUNDS, strategy)


def _close(found: Params, expected: Params, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(
            found[name], expected[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def _moved(found: Params, start: Params) -> bool:
    return all(float((found[name] - start[name]).abs().max()) > 1e-3 for name in start)


@EXACT
@EACH_INNER
def test_domain_negotiation(
    rule: inner.SGD | inner.Adam | inner.Adagrad, dtype: torch.dtype, tolerance: float
) -> None:
    bench = Bench(rule, dtype)
    expected = learning.domain_negotiation(bench.oracle(), bench.start, bench.orders, bench.source, 0.5)
    for state, want in zip(bench.library(DomainNegotiation(outer_lr=0.5)), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    assert _moved(expected[-1], bench.start)


@EXACT
@EACH_INNER
def test_averaging(
    rule: inner.SGD | inner.Adam | inner.Adagrad, dtype: torch.dtype, tolerance: float
) -> None:
    """Training goes on as without it, and the shared parameters are the mean of its rounds."""
    bench, strategy = Bench(rule, dtype), DomainNegotiation(outer_lr=0.5, averaging=0.6)
    led = learning.domain_negotiation(bench.oracle(), bench.start, bench.orders, bench.source, 0.5)
    expected = learning.means_of_rounds(led, 0.6)
    for state, want in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    assert _moved(expected[-1], led[-1])


@EXACT
@pytest.mark.parametrize("lead", [0.0, 0.5, 1.0])
def test_a_round_starts_between_the_mean_and_the_last_rounds_end(
    lead: float, dtype: torch.dtype, tolerance: float
) -> None:
    bench = Bench(inner.Adam(lr=0.01), dtype)
    strategy = DomainNegotiation(outer_lr=0.9, averaging=0.6, lead=lead)
    expected = learning.led_rounds(bench.oracle(), bench.start, bench.orders, bench.source, 0.9, 0.6, lead)
    for state, want in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)


def test_regularization_reads_the_mean_of_rounds() -> None:
    """With averaging, MAMDR's specific parts are walked from the mean, and serve over it."""
    bench = Bench(inner.Adam(lr=0.01), torch.float64)
    strategy = MAMDR(num_helpers=2, outer_lr=1.0, specific_lr=0.3, averaging=0.6)
    drawn = bench.helpers(DomainRegularization(num_helpers=2))
    led = learning.domain_negotiation(bench.oracle(), bench.start, bench.orders, bench.source, 1.0)
    specific = {domain: learning.zeros_like(bench.start) for domain in drawn[0]}
    means = learning.means_of_rounds(led, 0.6)
    for r, (state, shared) in enumerate(zip(bench.library(strategy), means, strict=True)):
        for i, chosen in drawn[r].items():
            args = (shared, specific[i], i, chosen, bench.source, 0.3, r)
            specific[i] = learning.regularize(bench.oracle(), *args)
            _close(parameters_of(strategy.params_for(state, i)), learning.add(shared, specific[i]), 1e-12)


@EXACT
@EACH_INNER
def test_domain_regularization(
    rule: inner.SGD | inner.Adam | inner.Adagrad, dtype: torch.dtype, tolerance: float
) -> None:
    bench, strategy = Bench(rule, dtype), DomainRegularization(num_helpers=2, specific_lr=0.5)
    drawn = bench.helpers(strategy)
    expected = learning.domain_regularization(bench.oracle(), bench.start, drawn, bench.source, 0.5)
    for state, want in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), bench.start, 0.0)
        for domain, specific in want.items():
            _close(parameters_of(state.specific[domain]), specific, tolerance)


@EXACT
@EACH_INNER
def test_mamdr(rule: inner.SGD | inner.Adam | inner.Adagrad, dtype: torch.dtype, tolerance: float) -> None:
    bench = Bench(rule, dtype)
    strategy = MAMDR(num_helpers=2, outer_lr=0.5, specific_lr=0.3)
    drawn = bench.helpers(DomainRegularization(num_helpers=2))
    expected = learning.mamdr(bench.oracle(), bench.start, bench.orders, drawn, bench.source, 0.5, 0.3)
    for state, (shared, specific) in zip(bench.library(strategy), expected, strict=True):
        _close(parameters_of(state.shared), shared, tolerance)
        for domain, want in specific.items():
            _close(parameters_of(state.specific[domain]), want, tolerance)
            served = parameters_of(strategy.params_for(state, domain))
            _close(served, learning.add(shared, want), tolerance)


@pytest.mark.parametrize("rule", INNER[1:], ids=["adam", "adagrad"])
def test_kept_inner_state(rule: inner.Adam | inner.Adagrad) -> None:
    """One optimizer from walk to walk, as torch's own is when nobody makes another."""
    bench = Bench(rule, torch.float64)
    expected = learning.alternate(bench.oracle(keep=True), bench.start, bench.orders, bench.source)
    for state, want in zip(bench.library(Alternate()), expected, strict=True):
        _close(parameters_of(state.shared), want, 1e-12)


def test_authors_preset_keeps_one_optimizer_through_dn_and_dr() -> None:
    """Domain by domain in DN's order, each domain its own last helper.

    The domains are large enough to touch every row: a row outside a walk rests, where an optimizer over whole tables
    would go on moving it by what it remembers.
    """
    data, strategy = tiny_market((260, 240, 220)), MAMDR.authors(num_helpers=2)
    assert all(len(data.train.unique_ids(d, "user_id")) == data.schema.ids["user_id"] for d in range(3))
    bench = Bench(inner.Adam(lr=0.01), torch.float64, data)
    parts = DomainRegularization(num_helpers=2, include_self=True)
    start = train(bench.module, bench.data, strategy, 0, options=bench.options, seed=replay.SEED)
    drawn = [
        {domain: chosen[domain] for domain in order}
        for order, chosen in zip(bench.orders, bench.helpers(parts), strict=True)
    ]
    specific = {domain: parameters_of(point) for domain, point in start.specific.items()}
    walker, shared = bench.oracle(keep=True), bench.start
    for r, state in enumerate(bench.library(strategy)):
        shared = learning.negotiate(walker, shared, bench.orders[r], bench.source, optimizers.Sgd(0.1), r)
        _close(parameters_of(state.shared), shared, 1e-12)
        for i, chosen in drawn[r].items():
            specific[i] = learning.regularize(walker, shared, specific[i], i, chosen, bench.source, 0.1, r)
            _close(parameters_of(state.specific[i]), specific[i], 1e-12)


OUTER = [
    (outer.SGD(lr=0.7), lambda: optimizers.Sgd(0.7)),
    (outer.Adam(lr=0.05), lambda: optimizers.Adam(0.05)),
    (outer.Adagrad(lr=0.05, initial=1e-3), lambda: optimizers.Adagrad(0.05, initial=1e-3)),
    (outer.Nesterov(lr=0.4, momentum=0.8), lambda: optimizers.Nesterov(0.4, 0.8)),
]


@pytest.mark.parametrize(("rule", "oracle"), OUTER, ids=["sgd", "adam", "adagrad", "nesterov"])
def test_outer_optimizers_over_rounds(rule: outer.SGD, oracle: type[optimizers.Sgd]) -> None:
    bench = Bench(inner.SGD(lr=0.3), torch.float64)
    expected = learning.domain_negotiation(bench.oracle(), bench.start, bench.orders, bench.source, oracle())
    for state, want in zip(bench.library(DomainNegotiation(outer=rule)), expected, strict=True):
        _close(parameters_of(state.shared), want, 1e-12)
