"""Figure 5 of MAMDR: whose gradients a framework brings together.

For a small inner rate α a round displaces the parameters by

    −α · (Σ_u c_u ḡ_u  −  α Σ_u Σ_v C_uv H̄_u ḡ_v)  +  O(α³)

over the mini-batches u it trains on, with ḡ_u and H̄_u the gradient and Hessian of a mini-batch's loss where the round
began: Equation 18, whose C is 1 wherever v comes before u. An entry whose u and v are of different domains brings
these together. Here c and C are measured: the Hessian-vector products are taken by autograd, and the displacement that
the library makes is fitted to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.integration import replay
from tests.oracles import learning
from tests.oracles import meta as oracle
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine import WalkOptions, inner, meta
from mamdr.parameters import LocalStore
from mamdr.seeds import generator
from mamdr.strategies import MAML, MLDG, DomainNegotiation, Outcome, Reptile, State, Strategy, Walk
from mamdr.testing import TwoTables, parameters_of, tiny_market
from mamdr.testing.lab import at_work, problem_of

DATA = tiny_market((24, 18, 30))
SIZE = 15
"""Two mini-batches for each domain."""


@dataclass
class Unit:
    """Rows that are trained on together: whose they are, what for, and which walk trains on them."""

    domain: int
    part: str
    walk: int
    rows: tuple[Batch, Tensor]


def _train(strategy: Strategy, alpha: float, size: int) -> tuple[Tensor, list[Walk]]:
    """A round's displacement over −α, flat, and the walks it made."""
    module, walks = TwoTables().double(), []  # type: ignore[var-annotated]
    with at_work(module, DATA, WalkOptions(batch_size=size, inner=inner.SGD(lr=alpha))) as (session, run):

        def noted(asked: Sequence[Walk]) -> Iterable[Outcome]:
            walks.extend(asked)
            return run(asked)

        state = State(LocalStore.of(module, session.space), seed=replay.SEED)
        start = _flat(parameters_of(state.shared))
        strategy.round(state, problem_of(session), noted)
        return (_flat(parameters_of(state.shared)) - start) / -alpha, walks


def _flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([values[name].reshape(-1) for name in sorted(values)])


def _passes(walks: list[Walk], size: int) -> list[Unit]:
    """The mini-batches of plain legs, in order."""
    return [
        Unit(leg.domains[0], "train", w, rows)
        for w, walk in enumerate(walks)
        for number, leg in enumerate(walk.legs)
        for rows in replay.batches_of(DATA, walk, number, size)
    ]


def _halves(walks: list[Walk], size: int) -> list[Unit]:
    """Support and query of MAML's first steps."""
    units = []
    for w, walk in enumerate(walks):
        (leg,) = walk.legs
        assert leg.meta is not None
        draw = generator(walk.seed, "batches", 0)
        drawn = DATA.train.support_and_query(leg.domains[0], leg.meta.share, leg.meta.seed, size, draw)
        parts = oracle.cut(*next(iter(drawn)))
        units += [
            Unit(leg.domains[0], name, w, rows)
            for name, rows in zip(("support", "query"), parts, strict=True)
        ]
    return units


def _groups(walks: list[Walk], size: int) -> list[Unit]:
    """Each domain's rows in MLDG's first step."""
    (walk,) = walks
    (leg,) = walk.legs
    assert leg.meta is not None
    (whole,) = DATA.train.batches(leg.domains, size, generator(walk.seed, "batches", 0))
    groups = meta.by_domain(whole, leg.meta.share, generator(walk.seed, "virtual", 0))
    units = []
    for name, (inputs, labels) in zip(("meta-train", "virtual test"), groups, strict=True):
        for domain in inputs["domain"].unique().tolist():
            mask = inputs["domain"] == domain
            rows = {column: values[mask] for column, values in inputs.items()}, labels[mask]
            units.append(Unit(domain, name, 0, rows))
    return units


def _slope(loss: Tensor, module: nn.Module, graph: bool = False) -> Tensor:
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, create_graph=graph, allow_unused=True)
    full = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return _flat(dict(zip(names, full, strict=True)))


def _fitted(found: Tensor, units: list[Unit], alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """c [U] and C [U, U] of a displacement over −α."""
    module = TwoTables().double()
    losses = [learning.loss_of(module, unit.rows[0], unit.rows[1].double()) for unit in units]
    slopes = [_slope(loss, module, graph=True) for loss in losses]
    products = [_slope(u @ v.detach(), module, graph=True).detach() for u in slopes for v in slopes]
    columns = torch.stack([*(g.detach() for g in slopes), *(-alpha * product for product in products)], 1)
    scale = columns.norm(dim=0)
    solved = torch.linalg.lstsq(columns / scale, found[:, None], driver="gelsd").solution[:, 0] / scale
    count = len(units)
    return solved[:count].numpy(), solved[count:].view(count, count).numpy()


Case = tuple[Callable[[float], Strategy], Callable[[list[Walk], int], list[Unit]], int]

CASES: dict[str, Case] = {
    "dn": (lambda alpha: DomainNegotiation(outer_lr=1.0), _passes, SIZE),
    "reptile": (lambda alpha: Reptile(), _passes, SIZE),
    "maml": (lambda alpha: MAML(share=0.5, rate=alpha, steps=1), _halves, 1000),
    "maml, second order": (lambda alpha: MAML(share=0.5, rate=alpha, steps=1, order=2), _halves, 1000),
    "mldg": (lambda alpha: MLDG(test_share=0.4, rate=alpha, order=1, weight=0.5), _groups, 1000),
    "mldg, second order": (lambda alpha: MLDG(test_share=0.4, rate=alpha, weight=0.5), _groups, 1000),
}


def _measured(name: str, alpha: float) -> tuple[list[Unit], np.ndarray, np.ndarray]:
    make, units_of, size = CASES[name]
    found, walks = _train(make(alpha), alpha, size)
    units = units_of(walks, size)
    return (units, *_fitted(found, units, alpha))


def _expected(name: str, units: list[Unit]) -> np.ndarray:
    """C as the methods' own papers have it."""
    return np.array([[_entry(name, units, u, v) for v in range(len(units))] for u in range(len(units))])


def _entry(name: str, units: list[Unit], u: int, v: int) -> float:
    """The share of H_u g_v."""
    one, other = units[u], units[v]
    after = {one.part, other.part} if "second" in name else {one.part}
    match name.split(",")[0]:
        case "dn":  # Equation 18
            return float(v < u)
        case "reptile":  # Nichol et al., section 5.1, and the mean over domains
            return float(v < u and one.walk == other.walk) / 3
        case "maml":  # the query's gradient a step on the support away; and what is transposed of it
            return float(one.walk == other.walk and one.part != other.part and "query" in after) / 3
    # 0.5 · G(θ − α ∇F): G of one domain, F the mean over two
    return 0.5 / 2 * float(one.part != other.part and "virtual test" in after)


@pytest.mark.parametrize("name", CASES)
def test_what_is_brought_together_is_what_the_papers_say(name: str) -> None:
    units, first, second = _measured(name, 1e-3)
    assert len(units) == (3 if name.startswith("mldg") else 6)
    np.testing.assert_allclose(second, _expected(name, units), rtol=0, atol=0.02)
    shares = {"train": 1.0 if name == "dn" else 1 / 3, "support": 0.0, "query": 1 / 3}
    shares |= {"meta-train": 0.5, "virtual test": 0.5}
    np.testing.assert_allclose(first, [shares[unit.part] for unit in units], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_what_is_left_of_it_halves_with_the_rate(name: str) -> None:
    """The measurement's error is of first order in α, so in the limit it is exact."""
    errors = []
    for alpha in (2e-3, 1e-3):
        units, _, second = _measured(name, alpha)
        errors.append(float(np.linalg.norm(second - _expected(name, units))))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


def _across(units: list[Unit]) -> np.ndarray:
    domains = np.array([unit.domain for unit in units])
    return domains[:, None] != domains[None, :]


@pytest.mark.parametrize("name", ["reptile", "maml", "maml, second order"])
def test_a_framework_of_tasks_brings_no_two_domains_together(name: str) -> None:
    """Figure 5 (c) and (d): whatever a domain's gradient meets is a Hessian of the same domain."""
    units, _, second = _measured(name, 1e-3)
    across = _across(units)
    assert np.abs(second[across]).max() < 0.02
    assert np.abs(second[~across]).max() > 0.3


def test_domain_negotiation_brings_every_two_domains_together() -> None:
    """Figure 5 (a): of any two domains the earlier one's gradient meets the later one's Hessian, in full."""
    units, _, second = _measured("dn", 1e-3)
    for one in range(3):
        for other in range(one):
            ours = [u for u, unit in enumerate(units) if unit.domain == one]
            theirs = [u for u, unit in enumerate(units) if unit.domain == other]
            sums = sorted([second[np.ix_(ours, theirs)].sum(), second[np.ix_(theirs, ours)].sum()])
            assert sums == pytest.approx([0.0, 4.0], abs=0.08)
