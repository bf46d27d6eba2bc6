from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score
from tests.oracles import metrics as oracle

from mamdr.errors import MamdrError
from mamdr.evaluation import Metrics, evaluate, grouped_auc, user_gauc
from mamdr.evaluation.metrics import DomainMetrics

NAMES = ["a", "b", "c", "d"]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Rows over four domains and five users, with many ties and often a domain of one class or none."""
    rows = draw(st.integers(0, 40))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    few = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])
    many = st.floats(0, 1, width=32)
    return {
        "domains": np.array(column(st.integers(0, 3)), np.int64),
        "labels": np.array(column(st.integers(0, 1)), np.float32),
        "probabilities": np.array(column(draw(st.sampled_from([few, many]))), np.float32),
        "users": np.array(column(st.integers(0, 4)), np.int64),
    }


def close(left: float | None, right: float | None) -> bool:
    return (left is None) == (right is None) and (
        left is None or left == pytest.approx(right, rel=1e-12, abs=1e-12)
    )


@given(tables())
def test_every_figure_agrees_with_plain_loops(table: dict[str, Any]) -> None:
    ids, labels, scores, users = (table[k].tolist() for k in ("domains", "labels", "probabilities", "users"))
    result = evaluate(NAMES, **table)
    expected = oracle.by_group(scores, labels, ids, 4)
    sizes = [ids.count(d) for d in range(4)]
    for d, domain in enumerate(result.domains):
        own = oracle.rows_of(scores, ids, d), oracle.rows_of(labels, ids, d)
        assert close(domain.auc, expected[d])
        assert close(domain.log_loss, oracle.log_loss(*own))
        assert close(domain.calibration, oracle.calibration(*own))
        assert (domain.samples, domain.positives) == (sizes[d], sum(own[1]))
    assert close(result.mean_auc, oracle.mean(expected))
    assert close(result.weighted_auc, oracle.mean(expected, sizes))
    assert close(result.pooled_auc, oracle.auc(scores, labels))
    assert close(result.log_loss, oracle.log_loss(scores, labels))
    assert close(result.calibration, oracle.calibration(scores, labels))
    per_user = oracle.by_group(scores, labels, users, 5)
    assert close(result.user_gauc, oracle.mean(per_user, [users.count(u) for u in range(5)]))


@given(tables())
def test_the_order_of_rows_does_not_matter(table: dict[str, Any]) -> None:
    order = np.random.default_rng(0).permutation(len(table["labels"]))
    straight = evaluate(NAMES, **table)
    shuffled = evaluate(NAMES, **{key: column[order] for key, column in table.items()})
    assert straight.aucs == shuffled.aucs
    assert (straight.mean_auc, straight.pooled_auc) == (shuffled.mean_auc, shuffled.pooled_auc)
    assert close(straight.log_loss, shuffled.log_loss)


@given(tables())
def test_auc_sees_only_the_order_of_scores(table: dict[str, Any]) -> None:
    scores, rest = table["probabilities"].astype(np.float64), (table["labels"], table["domains"], 4)
    plain = grouped_auc(scores, *rest)
    # In float64 neither the cube nor the root of a float32 makes or breaks a tie.
    np.testing.assert_array_equal(plain, grouped_auc(scores**3, *rest))
    np.testing.assert_array_equal(plain, grouped_auc(np.sqrt(scores), *rest))
    np.testing.assert_array_equal(plain, grouped_auc(table["probabilities"], *rest))
    np.testing.assert_allclose(1 - plain, grouped_auc(-scores, *rest), atol=1e-15)


@given(tables())
def test_offsets_and_ids_say_the_same(table: dict[str, Any]) -> None:
    order = np.argsort(table["domains"], kind="stable")
    grouped = {key: column[order] for key, column in table.items()}
    offsets = np.searchsorted(grouped["domains"], np.arange(5))
    assert evaluate(NAMES, **{**grouped, "domains": offsets}) == evaluate(NAMES, **grouped)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auc_agrees_with_scikit_learn(scale: float, dtype: type) -> None:
    rng = np.random.default_rng(3)
    scores = (rng.normal(size=3000).round(2) * scale).astype(dtype)
    labels, ids = rng.integers(0, 2, 3000), rng.integers(0, 7, 3000)
    expected = [roc_auc_score(labels[ids == d], scores[ids == d]) for d in range(7)]
    np.testing.assert_allclose(grouped_auc(scores, labels, ids, 7), expected, rtol=0, atol=1e-12)


def test_log_loss_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    p, labels = rng.uniform(0.001, 0.999, 5000).astype(np.float32), rng.integers(0, 2, 5000)
    result = evaluate(["all"], np.zeros(5000, np.int64), labels, p)
    assert result.log_loss == pytest.approx(sklearn_log_loss(labels, p.astype(np.float64)), rel=1e-12)


def test_values_computed_by_hand() -> None:
    result = evaluate(["x", "y"], [0, 0, 0, 0, 1, 1], [1, 0, 1, 0, 0, 1], [0.8, 0.6, 0.6, 0.2, 0.5, 0.5])
    x, y = result.domains
    assert x.auc == 3.5 / 4
    assert y.auc == 0.5
    assert result.mean_auc == pytest.approx((0.875 + 0.5) / 2)
    assert result.weighted_auc == pytest.approx((4 * 0.875 + 2 * 0.5) / 6)
    assert result.pooled_auc == pytest.approx((3 + 2.5 + 1.5) / 9)
    assert x.log_loss == pytest.approx(-math.log(0.8 * 0.4 * 0.6 * 0.8) / 4)
    assert x.calibration == pytest.approx(2.2 / 2)
    assert y.calibration == pytest.approx(1.0)


def test_one_class_one_row_and_no_row_have_no_auc_and_count_in_no_mean() -> None:
    result = evaluate(NAMES, [0, 0, 1, 1, 2], [1, 0, 1, 1, 0], [0.9, 0.1, 0.4, 0.2, 0.3])
    assert result.aucs == {"a": 1.0, "b": None, "c": None, "d": None}
    assert result.mean_auc == result.weighted_auc == 1.0
    single, empty = result.domains[2], result.domains[3]
    assert single.log_loss == pytest.approx(-math.log(0.7))
    assert single.calibration is None
    assert (empty.log_loss, empty.calibration, empty.samples, empty.positives) == (None, None, 0, 0)


def test_no_rows_at_all_is_all_none() -> None:
    result = evaluate(["a"], [], [], [])
    assert result.to_json() == {
        "mean_auc": None, "weighted_auc": None, "pooled_auc": None, "log_loss": None, "calibration": None,
        "user_gauc": None,
        "domains": {"a": {"auc": None, "log_loss": None, "calibration": None, "samples": 0, "positives": 0}},
    }  # fmt: skip


@given(tables())
def test_json_holds_plain_numbers_and_null_but_never_nan(table: dict[str, Any]) -> None:
    value = evaluate(NAMES, **table).to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert list(value["domains"]) == NAMES
    assert set(value["domains"]["a"]) == {"auc", "log_loss", "calibration", "samples", "positives"}


def test_certain_and_wrong_costs_no_infinity() -> None:
    result = evaluate(["a"], [0, 0], [1, 0], np.array([0.0, 1.0], np.float32))
    assert result.log_loss == pytest.approx(23 * math.log(2))


def test_negative_zero_ties_with_zero() -> None:
    zeros = np.array([-0.0, 0.0], np.float32)
    assert grouped_auc(zeros, [1, 0], [0, 0], 1)[0] == 0.5
    assert grouped_auc(zeros.astype(np.float64), [1, 0], [0, 0], 1)[0] == 0.5


def test_float64_scores_closer_than_float32_can_tell_are_not_tied() -> None:
    assert grouped_auc([0.5, 0.5 + 1e-12], [0, 1], [0, 0], 1)[0] == 1.0


def test_user_gauc_takes_any_user_ids() -> None:
    scores, labels = [0.2, 0.7, 0.9, 0.1, 0.8], [0, 1, 1, 1, 0]
    assert user_gauc(scores, labels, [5, 5, 5, 8, 8]) == pytest.approx((3 * 1.0 + 2 * 0.0) / 5)
    far = np.array([5, 5, 5, 8, 8]) * 10**15
    assert user_gauc(scores, labels, far) == user_gauc(scores, labels, -far) == pytest.approx(0.6)
    assert user_gauc([0.5], [1], [0]) is None
    assert user_gauc([], [], []) is None


def test_as_many_rows_as_offsets_is_not_confused() -> None:
    by_ids = evaluate(["a", "b"], [0, 1, 1], [1, 0, 1], [0.5, 0.2, 0.9])
    by_offsets = evaluate(["a", "b"], [0, 1, 3], [1, 0, 1], [0.5, 0.2, 0.9])
    assert by_ids == by_offsets


def test_many_domains_of_long_tailed_sizes() -> None:
    rng = np.random.default_rng(5)
    ids = np.minimum(rng.geometric(0.001, 30_000) - 1, 4999)
    scores, labels = rng.random(30_000, np.float32), rng.integers(0, 2, 30_000)
    values = grouped_auc(scores, labels, ids, 5000)
    for d in (0, 1, 500, 1000, 4998, 4999):
        own = ids == d
        expected = oracle.auc(scores[own].tolist(), labels[own].tolist())
        assert np.isnan(values[d]) if expected is None else values[d] == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(
        MamdrError, match=r"1 of 3 scores are not finite \(first: .* in row 1\); expected finite"
    ):
        evaluate(["a"], [0, 0, 0], [1, 0, 1], [0.5, bad, 0.1])


@pytest.mark.parametrize(
    ("domains", "labels", "probabilities", "message"),
    [
        ([0, 0], [1, 0.5], [0.1, 0.2], "label 0.5; expected labels 0 or 1"),
        ([0, 0], [1, 0], [0.1, 1.2], r"probabilities in \[0.1, 1.2\]"),
        ([0, 0], [1, 0, 1], [0.1, 0.2], "labels of shape"),
        ([0, 1], [1, 0], [0.1, 0.2], "groups from 0 to 1 with 1 groups"),
        ([0, -1], [1, 0], [0.1, 0.2], "groups from -1 to 0"),
        ([0.0, 0.5], [1, 0], [0.1, 0.2], "float64 groups"),
        ([0, 0, 0], [1, 0], [0.1, 0.2], "groups of shape"),
        ([1, 2], [1, 0], [0.1, 0.2], "offsets"),
        ([0, 0], [1, 0], [[0.1, 0.2], [0.3, 0.4]], "scores of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    domains: Any, labels: Any, probabilities: Any, message: str
) -> None:
    with pytest.raises(MamdrError, match=message):
        evaluate(["a"], domains, labels, probabilities)


def test_results_are_frozen() -> None:
    result = evaluate(["a"], [0], [1], [0.5])
    assert isinstance(result, Metrics)
    with pytest.raises(FrozenInstanceError):
        result.mean_auc = 1.0  # type: ignore[misc]


def test_extremes_are_the_lowest_and_the_highest_and_none_twice() -> None:
    aucs = [0.4, None, 0.9, 0.4, 0.6]
    rows = tuple(DomainMetrics(str(n), auc, 0.1, 1.0, 5, 2) for n, auc in enumerate(aucs))
    metrics = Metrics(0.5, 0.5, 0.5, 0.1, 1.0, rows)
    for count in (2, 100):
        worst, best = metrics.extremes(count)
        assert ([d.name for d in worst], [d.name for d in best]) == (["0", "3"], ["2", "4"])
    told = metrics.to_json(2)
    assert (list(told["domains"]), told["left_out"]) == (["0", "2"], 3)
    assert "left_out" not in metrics.to_json(5)
    assert list(metrics.to_json()["domains"]) == ["0", "1", "2", "3", "4"]
