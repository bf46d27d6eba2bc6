"""Gradient methods through the whole engine equal plain loops over whole gradients of a copied module.

As in `test_core_equals_oracle`: float64 to about 1e-12, float32 to 1e-6; what comes of
eigenvectors or of a solver to 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.integration import replay
from tests.integration.test_combined_equals_oracle import _batches, _close
from tests.integration.test_core_equals_oracle import EACH_INNER, EXACT, ROUNDS, Bench
from tests.oracles import combiners as oracle
from tests.oracles import combiners_core
from tests.oracles.learning import Params
from torch import Tensor

from mamdr.combiners import FAMO, IMTLG, MGDA, AlignedMTL, CAGrad, Combiner, GradVac, NashMTL, UPGrad
from mamdr.combiners.pcgrad import orders
from mamdr.engine import inner
from mamdr.seeds import derive, generator
from mamdr.strategies import Combined
from mamdr.testing import parameters_of, tiny_market

Inner = inner.SGD | inner.Adam | inner.Adagrad
SGD_AND_ADAM = pytest.mark.parametrize("rule", [inner.SGD(lr=0.3), inner.Adam(lr=0.01)], ids=["sgd", "adam"])
Step = Callable[[list[int], oracle.Rows, np.random.Generator], oracle.Rows]


def _expected(bench: Bench, dtype: torch.dtype, step: Step) -> list[Params]:
    """The parameters after each round of training down `step` of (domains, gradients, draws)."""
    walker, rounds = combiners_core.Combined(bench.module, bench.make, bench.start), []
    for r in range(ROUNDS):
        draw = generator(derive(replay.SEED, "negotiation", r), "combiner", 0)

        def combine(
            domains: list[int],
            losses: list[Tensor],
            gradients: list[Tensor],
            draw: np.random.Generator = draw,
        ) -> Tensor:
            found = step(domains, torch.stack(gradients).double().numpy(), draw)
            return torch.from_numpy(found).to(gradients[0].dtype)

        rounds.append(walker.run(_batches(bench, r, dtype), combine))
    return rounds


def _equal(bench: Bench, dtype: torch.dtype, combiner: Combiner, step: Step, tolerance: float) -> None:
    expected = _expected(bench, dtype, step)
    for state, want in zip(bench.library(Combined(combiner)), expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    assert all(not torch.allclose(expected[-1][name], bench.start[name], atol=1e-3) for name in bench.start)


@EXACT
@EACH_INNER
def test_gradvac(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    vaccine = oracle.GradVac(beta=0.2)

    def step(domains: list[int], g: oracle.Rows, draw: np.random.Generator) -> oracle.Rows:
        return vaccine(domains, g, orders(len(domains), draw).tolist())

    _equal(Bench(rule, dtype), dtype, GradVac(beta=0.2), step, tolerance)
    assert max(vaccine.targets.values()) > 0.05


@EXACT
@EACH_INNER
def test_famo(rule: Inner, dtype: torch.dtype, tolerance: float) -> None:
    bench, famo = Bench(rule, dtype), oracle.FAMO(4, lr=0.1, gamma=0.01)
    walker = oracle.TrainedByFAMO(bench.module, bench.make, bench.start)
    expected = [walker.train(_batches(bench, r, dtype), famo) for r in range(ROUNDS)]
    states = bench.library(Combined(FAMO(lr=0.1, gamma=0.01)))
    for state, want in zip(states, expected, strict=True):
        _close(parameters_of(state.shared), want, tolerance)
    logits = torch.stack([logit.detach() for logit in famo.logits])
    torch.testing.assert_close(states[-1].memory["FAMO"]["logits"], logits, rtol=0, atol=100 * tolerance)
    assert float(logits.abs().max()) > 0.1


@EACH_INNER
def test_aligned_mtl(rule: Inner) -> None:
    """Eigenvectors of a Gram matrix have half the digits of the gradients' singular vectors."""
    bench = Bench(rule, torch.float64)
    _equal(bench, torch.float64, AlignedMTL(scale="mean"), lambda _, g, __: oracle.aligned(g, "mean"), 1e-6)


@EXACT
def test_imtl_g(dtype: torch.dtype, tolerance: float) -> None:
    _equal(Bench(inner.SGD(lr=0.3), dtype), dtype, IMTLG(), _imtl_g, tolerance)


def test_imtl_g_by_adam() -> None:
    bench = Bench(inner.Adam(lr=0.01), torch.float64)
    _equal(bench, torch.float64, IMTLG(), _imtl_g, 1e-6)


def _imtl_g(domains: list[int], g: oracle.Rows, draw: np.random.Generator) -> oracle.Rows:
    step: oracle.Rows = oracle.imtl_g(g) @ g if len(domains) > 1 else g[0]
    return step


@SGD_AND_ADAM
def test_upgrad(rule: Inner) -> None:
    bench = Bench(rule, torch.float64)
    _equal(bench, torch.float64, UPGrad(), lambda _, g, __: oracle.upgrad(g), 1e-6)


@SGD_AND_ADAM
def test_mgda(rule: Inner) -> None:
    bench = Bench(rule, torch.float64)
    _equal(bench, torch.float64, MGDA(), lambda _, g, __: oracle.shortest_mixture(g) @ g, 1e-6)


@SGD_AND_ADAM
def test_nash_mtl(rule: Inner) -> None:
    """The step has length √G, and is shortened to one."""

    def step(domains: list[int], g: oracle.Rows, draw: np.random.Generator) -> oracle.Rows:
        agreed = oracle.nash(g) @ g
        return agreed / max(1.0, float(np.linalg.norm(agreed)))

    _equal(Bench(rule, torch.float64), torch.float64, NashMTL(max_norm=1.0), step, 1e-6)


@SGD_AND_ADAM
def test_cagrad(rule: Inner) -> None:
    """Three domains, for which the oracle's nested searches are enough."""

    def step(domains: list[int], g: oracle.Rows, draw: np.random.Generator) -> oracle.Rows:
        return oracle.cagrad(g, 0.5) if len(domains) > 1 else 1.5 * g[0]

    bench = Bench(rule, torch.float64, tiny_market((26, 19, 12)))
    _equal(bench, torch.float64, CAGrad(c=0.5), step, 1e-6)
