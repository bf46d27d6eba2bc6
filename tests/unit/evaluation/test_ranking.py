from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles import metrics as oracle

from mamdr.errors import MamdrError
from mamdr.evaluation import evaluate, rank_methods

coarse = st.sampled_from([0.5, 0.6, 0.7, 0.8])


@given(
    st.integers(1, 6).flatmap(
        lambda d: st.lists(st.lists(coarse, min_size=d, max_size=d), min_size=1, max_size=6)
    )
)
def test_ranks_agree_with_sorting_each_domain_and_average_to_the_middle(table: list[list[float]]) -> None:
    aucs = {f"m{m}": {f"d{d}": value for d, value in enumerate(row)} for m, row in enumerate(table)}
    ranking = rank_methods(aucs)
    assert list(ranking.ranks.values()) == pytest.approx(oracle.mean_ranks(table), abs=1e-12)
    assert sum(ranking.ranks.values()) / len(table) == pytest.approx((len(table) + 1) / 2)
    assert ranking.methods == tuple(aucs)
    assert len(ranking.domains) == len(table[0])


def test_values_computed_by_hand() -> None:
    ranking = rank_methods(
        {
            "mlp": {"a": 0.70, "b": 0.60, "c": None, "d": 0.5},
            "star": {"a": 0.80, "b": 0.60, "c": 0.9, "d": 0.6},
            "mamdr": {"a": 0.90, "b": 0.60, "c": 0.9, "d": 0.4},
        }
    )
    assert ranking.ranks == pytest.approx({"mlp": 7 / 3, "star": 5 / 3, "mamdr": 2.0})
    assert ranking.domains == ("a", "b", "d")
    assert ranking.left_out == ("c",)


def test_ranks_depend_on_who_else_is_there_so_methods_are_named() -> None:
    both = {"x": {"a": 0.7}, "y": {"a": 0.6}}
    three = {**both, "z": {"a": 0.9}}
    assert rank_methods(both).ranks["x"] == 1.0
    assert rank_methods(three).ranks["x"] == 2.0
    assert rank_methods(three).methods == ("x", "y", "z")


def test_nan_is_left_out_like_none() -> None:
    assert rank_methods({"x": {"a": math.nan, "b": 0.5}, "y": {"a": 0.5, "b": 0.4}}).left_out == ("a",)


def test_takes_what_metrics_give() -> None:
    rows = (["a", "b"], [0, 0, 1], [1, 0, 1])
    runs = {"good": evaluate(*rows, [0.9, 0.1, 0.5]).aucs, "bad": evaluate(*rows, [0.1, 0.9, 0.5]).aucs}
    assert rank_methods(runs).ranks == {"good": 1.0, "bad": 2.0}


def test_order_of_domains_does_not_matter() -> None:
    assert rank_methods({"x": {"a": 0.7, "b": 0.6}, "y": {"b": 0.9, "a": 0.1}}).ranks == {"x": 1.5, "y": 1.5}


@pytest.mark.parametrize(
    ("aucs", "message"),
    [
        ({}, "no method to rank"),
        ({"x": {"a": 0.5}, "y": {"b": 0.5}}, "'y' and 'x' have different domains"),
        ({"x": {"a": None}, "y": {"a": 0.5}}, "none of 1 domains"),
        ({"x": {}}, "none of 0 domains"),
    ],
)
def test_what_cannot_be_ranked_is_refused(aucs: dict[str, dict[str, float | None]], message: str) -> None:
    with pytest.raises(MamdrError, match=message):
        rank_methods(aucs)
