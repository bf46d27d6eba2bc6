"""Outer optimizers on points equal the plain formulas, and rows that a displacement lacks rest."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from tests.oracles import optimizers

from mamdr.parameters import LocalStore, Moments, Point, Space, outer
from mamdr.testing import TwoTables, parameters_of

RULES = [
    (outer.SGD(lr=0.4), lambda: optimizers.Sgd(0.4)),
    (outer.Nesterov(lr=0.3, momentum=0.7), lambda: optimizers.Nesterov(0.3, 0.7)),
    (outer.Adagrad(lr=0.1, initial=0.01), lambda: optimizers.Adagrad(0.1, initial=0.01)),
    (outer.Adam(lr=0.05, beta1=0.8), lambda: optimizers.Adam(0.05, beta1=0.8)),
]
EACH = pytest.mark.parametrize(("rule", "oracle"), RULES, ids=["sgd", "nesterov", "adagrad", "adam"])


def _space(dtype: torch.dtype = torch.float64) -> tuple[LocalStore, Space]:
    module = TwoTables().to(dtype)
    space = Space.of(module)
    return LocalStore.of(module, space), space


def _displacement(space: Space, seed: int, rows: tuple[list[int], list[int]]) -> Point:
    ids = tuple(torch.tensor(each) for each in rows)
    random = torch.Generator().manual_seed(seed)
    return Point(space, ids, torch.randn(space.size(ids), generator=random, dtype=space.dtype))


@EACH
def test_rounds_equal_the_formula(rule: outer.SGD, oracle: type[optimizers.Sgd]) -> None:
    store, space = _space()
    params, formula, state = parameters_of(store), oracle(), Moments()
    for seed in range(5):
        displacement = _displacement(space, seed, ([1, 5, 6], [0, 3]))
        params = optimizers.push(params, parameters_of(displacement), formula)
        store.push_by(rule, displacement, state)
        found = parameters_of(store)
        for name, want in params.items():
            torch.testing.assert_close(found[name], want, rtol=0, atol=1e-12)
    assert state.step == 5


@EACH
def test_rows_that_a_displacement_lacks_rest_with_their_moments(
    rule: outer.SGD, oracle: type[optimizers.Sgd]
) -> None:
    store, space = _space()
    state = Moments()
    store.push_by(rule, _displacement(space, 1, ([1, 5], [0])), state)
    before = {name: point.copy() for name, point in state.points.items()}
    row = store.tables[0][5].clone()
    store.push_by(rule, _displacement(space, 2, ([1, 2], [0])), state)
    assert torch.equal(store.tables[0][5], row)
    for name, point in state.points.items():
        assert point.ids[0].tolist() == [1, 2, 5]
        assert torch.equal(point.rows(0)[2], before[name].rows(0)[1])


def test_rates_of_one_and_zero() -> None:
    _, space = _space()
    displacement = _displacement(space, 1, ([1], [2]))
    assert torch.equal(outer.SGD(lr=1.0).update(displacement.copy(), Moments()).flat, displacement.flat)
    assert not outer.SGD(lr=0.0).update(displacement, Moments()).flat.any()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (outer.SGD, {"lr": -0.1}),
        (outer.SGD, {"lr": float("nan")}),
        (outer.SGD, {"rate": 1.0}),
        (outer.Nesterov, {"momentum": 1.0}),
        (outer.Adagrad, {"eps": 0.0}),
        (outer.Adam, {"beta2": 1.0}),
    ],
)
def test_settings_out_of_range(kind: type, values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        kind(**values)


def test_every_rule_has_a_name() -> None:
    assert {type(rule) for rule, _ in RULES} == set(outer.RULES.values())
