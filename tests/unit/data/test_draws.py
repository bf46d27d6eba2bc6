from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamdr.data.draws import distinct, fit_bias, normals, sigmoid, spread


def test_normals_are_normal_and_their_keys_independent() -> None:
    a, b = normals([3, 4], np.arange(200_000))
    assert abs(a.mean()) < 0.01
    assert abs(a.std() - 1) < 0.01
    assert np.mean(np.abs(a) > 1.96) == pytest.approx(0.05, abs=0.003)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.01


def test_a_normal_depends_on_key_and_id_alone() -> None:
    few, many = np.array([7, 2**31 - 1]), np.array([2**31 - 1, 5, 7])
    np.testing.assert_array_equal(normals([9], few)[0], normals([8, 9], many)[1, [2, 0]])


@given(st.integers(0, 2**32), st.integers(8, 5000), st.floats(0.001, 0.25))
def test_distinct_are_distinct_and_in_range(seed: int, below: int, share: float) -> None:
    count = max(8, int(below * share))
    drawn = distinct(np.random.default_rng(seed), count, below)
    assert len(drawn) == len(set(drawn.tolist())) == count
    assert drawn.min() >= 0
    assert drawn.max() < below


def test_distinct_come_evenly_and_in_random_order() -> None:
    drawn = [distinct(np.random.default_rng(seed), 10, 40) for seed in range(2000)]
    counts = np.bincount(np.concatenate(drawn), minlength=40)
    assert abs(counts - 500).max() < 100
    assert abs(np.mean([each[0] for each in drawn]) - 19.5) < 1


@given(st.integers(0, 2**32), st.integers(2, 3000))
def test_spread_sends_every_index_to_an_id_of_its_own(seed: int, population: int) -> None:
    ids = spread(np.arange(population), population, np.random.default_rng(seed))
    assert sorted(ids.tolist()) == list(range(population))


def test_spread_of_the_largest_population_stays_in_range() -> None:
    ids = spread(np.array([0, 2**31 - 2]), 2**31 - 1, np.random.default_rng(0))
    assert ids.min() >= 0
    assert ids.max() < 2**31 - 1


@given(st.integers(0, 2**32), st.floats(0.01, 0.99), st.floats(0.01, 300))
def test_bias_sets_the_rate(seed: int, rate: float, scale: float) -> None:
    logits = np.random.default_rng(seed).normal(size=500) * scale
    assert sigmoid(logits + fit_bias(logits, rate)).mean() == pytest.approx(rate, abs=1e-6)


def test_sigmoid_stands_any_logit() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-1e6, 0.0, 2.0, 1e6])), [0, 0.5, 1 / (1 + np.exp(-2)), 1])
