"""Rows that nobody foresaw are pulled when they come, and the walk is the one that had them all along."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.unit.engine.zoo import make

from mamdr.engine import Session, Walker, WalkOptions, inner, trace
from mamdr.engine.rows import Rows
from mamdr.parameters import Ids, LocalStore, Moments, Overlay, Point
from mamdr.strategies import Leg, Walk
from mamdr.testing import parameters_of, tiny_market

DATA = tiny_market((30, 12))


class Everything(Rows):
    """Says that every domain touches every row."""

    def of(self, domain: int) -> Ids:
        return self.space.all_ids()


class Nothing(Rows):
    """Foresees no row at all."""

    def of(self, domain: int) -> Ids:
        return self.space.no_ids()


def _walk(
    kind: type[Rows], options: WalkOptions, name: str = "random ids", kept: Moments | None = None
) -> Point:
    module = make(name).double()
    space = trace(module, DATA.schema)
    session = Session(module, space, DATA, options)
    session.rows = kind(module, space, DATA.train)
    with session:
        shared = LocalStore.of(copy.deepcopy(module), space)
        specific = {0: shared.pull((torch.tensor([2, 5]), torch.tensor([1])))}
        walk = Walk(Overlay(shared, specific, 0), (Leg((0,)), Leg((1,))), 3, kept)
        outcome = Walker(session)(walk)
        if kept is not None and outcome.moments is not None:
            kept.put(outcome.moments)
        return outcome.displacement.copy()


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("rule", [inner.SGD(lr=0.1), inner.Adam(lr=0.01), inner.Adagrad(lr=0.1)])
@pytest.mark.parametrize("kind", [Rows, Nothing])
def test_growth_gives_the_bits_of_having_all_rows(
    kind: type[Rows], rule: inner.SGD | inner.Adam | inner.Adagrad, rows: str
) -> None:
    options = WalkOptions(batch_size=8, inner=rule, rows=rows)  # type: ignore[arg-type]
    grown, whole = _walk(kind, options), _walk(Everything, options)
    assert all(len(a) < len(b) for a, b in zip(grown.ids[:1], whole.ids[:1], strict=True)) or kind is Rows
    found, expected = parameters_of(grown), parameters_of(whole)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_growth_carries_the_moments_along() -> None:
    """Lazily stepped, so that a row that is there from the start does not move on its own before it is missed."""
    options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="lazy")
    one, two = Moments(), Moments()
    for _ in range(2):  # the second walk misses rows of which something is remembered
        _walk(Nothing, options, kept=one)
        _walk(Everything, options, kept=two)
    assert one.step == two.step
    for name, point in two.points.items():
        known, all_of_it = parameters_of(one.points[name]), parameters_of(point)
        assert all(torch.equal(known[key], all_of_it[key]) for key in all_of_it)


def test_a_table_that_grows_past_the_limit_is_lazy_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mamdr.engine.options.LAZY_ABOVE", 15 * 3)
    found = parameters_of(_walk(Nothing, WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="auto")))
    expected = parameters_of(
        _walk(Everything, WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="dense"))
    )
    size = sum(float(value.norm()) for value in expected.values())
    assert sum(float((found[name] - value).norm()) for name, value in expected.items()) < 0.005 * size
