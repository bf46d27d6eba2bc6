"""Training on combined gradients equals a plain loop over whole gradients of a copied module.

As in `test_core_equals_oracle`: float64 to about 1e-12, float32 to 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.integration import replay
from tests.integration.test_core_equals_oracle import EACH_INNER, EXACT, ROUNDS, Bench
from tests.oracles import combiners_core
from tests.oracles.learning import Batch, Params
from torch import Tensor

from mamdr.combiners import PCGrad, WeightedLoss
from mamdr.combiners.pcgrad import orders
from mamdr.engine import WalkOptions, inner
from mamdr.seeds import derive, generator
from mamdr.strategies import Combined, Joint
from mamdr.testing import TiedTables, TwoTables, parameters_of, tiny_market, train

Inner = inner.SGD | inner.Adam | inner.Adagrad


def _close(found: Params, expected: Params, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=tolerance)


def _batches(bench: Bench, round_: int, dtype: torch.dtype) -> Iterator[tuple[Batch, Tensor]]:
    draw = generator(derive(replay.SEED, "negotiation", round_), "batches", 0)
    domains = range(len(bench.data.schema.domains))
    drawn = bench.data.train.batches(domains, bench.options.batch_size, draw)
    return ((batch, labels.to(dtype)) for batch, labels in drawn)


def _projecting(round_: int) -> combiners_core.Combine:
    """PCGrad on the orders that the library draws in a round."""
    draw = generator(derive(replay.SEED, "negotiation", round_), "combiner", 0)

    def combine(domains: list[int], losses: list[Tensor], gradients: list[Tensor]) -> Tensor:
        drawn = orders(len(domains), draw).tolist()
        return torch.stack(combiners_core.pcgrad(gradients, drawn)).sum(0)

    return combine


def _oracle(bench: Bench, dtype: torch.dtype) -> list[Params]:
    walker = combiners_core.Combined(bench.module, bench.make, bench.start)
    return [walker.run(_batches(bench, r, dtype), _projecting(r)) for r in range(ROUNDS)]


@EXACT
@EACH_INNER
def test_pcgrad(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench = Bench(rule, dtype)
    expected = _oracle(bench, dtype)
    for state, want in zip(bench.library(Combined(PCGrad())), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)


@EXACT
@EACH_INNER
def test_weighted_loss(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench, learned = Bench(rule, dtype), combiners_core.WeightedLoss(lr=0.05)
    walker = combiners_core.Combined(bench.module, bench.make, bench.start)
    expected = [walker.run(_batches(bench, r, dtype), learned) for r in range(ROUNDS)]
    states = bench.library(Combined(WeightedLoss(lr=0.05)))
    for state, want in zip(states, expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    kept = states[-1].memory["WeightedLoss"]["log_variance"]
    torch.testing.assert_close(
        kept, torch.stack([learned.s[d].detach() for d in range(4)]), rtol=0, atol=tolerance
    )
    assert float(kept.abs().min()) > 0.01


@pytest.mark.parametrize("rule", [inner.SGD(lr=0.3), inner.Adagrad(lr=0.05)], ids=["sgd", "adagrad"])
@pytest.mark.parametrize("module", [TwoTables, TiedTables])
def test_tables_that_are_stepped_lazily(rule: Inner, module: type[TwoTables]) -> None:
    bench = Bench(rule, torch.float64)
    bench.module = module().double()
    bench.start = {name: value.detach().clone() for name, value in bench.module.named_parameters()}
    bench.options = WalkOptions(batch_size=8, inner=rule, rows="lazy")
    for state, want in zip(bench.library(Combined(PCGrad())), _oracle(bench, torch.float64), strict=True):
        _close(parameters_of(state.shared), want, 1e-12)


def test_lazy_adam_makes_up_for_what_rows_missed() -> None:
    """Ends where a dense Adam on the combined gradient does, to a few parts in a thousand of the way."""
    bench = Bench(inner.Adam(lr=0.01), torch.float64)
    bench.options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="lazy")
    want = _oracle(bench, torch.float64)[-1]
    found = parameters_of(bench.library(Combined(PCGrad()))[-1].shared)
    for name in want:
        error, way = (found[name] - want[name]).norm(), (want[name] - bench.start[name]).norm()
        assert float(error) < 0.005 * float(way)


def test_projections_happened() -> None:
    """Else the tests above would say little: without conflicts PCGrad is a plain sum."""
    bench = Bench(inner.SGD(lr=0.3), torch.float64)
    walker = combiners_core.Combined(bench.module, bench.make, bench.start)
    plain = walker.run(_batches(bench, 0, torch.float64), lambda _, losses, g: torch.stack(g).sum(0))
    with_projections = _oracle(bench, torch.float64)[0]
    assert all(float((plain[name] - with_projections[name]).abs().max()) > 1e-4 for name in plain)


def test_one_domain_alone_is_trained_as_joint_would() -> None:
    module, data = TwoTables(dropout=0.3), tiny_market((40,))
    alone, joint = (train(module, data, strategy, 3) for strategy in (Combined(PCGrad()), Joint()))
    _close(parameters_of(alone.shared), parameters_of(joint.shared), 1e-6)


@pytest.mark.parametrize("rows", ["dense", "lazy"])
def test_the_penalty_is_added_to_the_combined_gradient(rows: str) -> None:
    """λ · Σ‖row‖² over the rows of a mini-batch, each once, whichever domains touch it: by one step of SGD."""
    bench = Bench(inner.SGD(lr=0.5), torch.float64)
    ends = {}
    for penalty in (0.0, 0.1):
        options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.5), rows=rows, embedding_l2=penalty)  # type: ignore[arg-type]
        state = train(
            bench.module, bench.data, Combined(PCGrad(), steps=1), 1, options=options, seed=replay.SEED
        )
        ends[penalty] = parameters_of(state.shared)
    batch, _ = next(_batches(bench, 0, torch.float64))
    for name, column in (("user.weight", "user_id"), ("item.weight", "item_id")):
        want = torch.zeros_like(bench.start[name])
        touched = torch.unique(batch[column])
        want[touched] = -0.5 * 2 * 0.1 * bench.start[name][touched]
        torch.testing.assert_close(ends[0.1][name] - ends[0.0][name], want, rtol=0, atol=1e-12)
    _close({"hidden": ends[0.1]["hidden.weight"]}, {"hidden": ends[0.0]["hidden.weight"]}, 0.0)
