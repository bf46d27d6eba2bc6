"""Negatives: never a positive, as many as asked for, uniform, and the same from the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.data import draw_negatives, negative_counts

from mamdr.data.negatives import draw, paper_ratios, ratios
from mamdr.errors import ConfigError

PUBLISHED = """
0.22 0.23 0.32 0.23 0.47 0.21 0.36 0.30 0.46 0.25 0.30 0.30 0.27 0.20 0.33
0.23 0.38 0.22 0.29 0.33 0.47 0.23 0.24 0.44 0.21 0.47 0.37 0.28 0.45 0.43
"""  # the paper's Table IV

pairs = st.sets(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=200)


def _arrays(pairs: set[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    cells = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    return cells[:, 0], cells[:, 1]


@given(pairs=pairs, ratio=st.floats(0.02, 3), seed=st.integers(0, 5))
@settings(deadline=None)
def test_draws_are_new_distinct_and_as_many_as_asked_for(
    pairs: set[tuple[int, int]], ratio: float, seed: int
) -> None:
    users, items = draw(*_arrays(pairs), ratio, seed, "d")
    drawn = list(zip(users.tolist(), items.tolist(), strict=True))
    assert len(set(drawn)) == len(drawn)
    assert not set(drawn) & pairs
    assert set(items.tolist()) <= {item for _, item in pairs}
    expected = {user: count for user, count in negative_counts(pairs, ratio).items() if count}
    assert Counter(users.tolist()) == expected
    assert Counter(users.tolist()) == Counter(user for user, _ in draw_negatives(pairs, ratio, seed))


@given(pairs=pairs)
@settings(deadline=None)
def test_order_of_rows_does_not_matter_but_seed_and_domain_do(pairs: set[tuple[int, int]]) -> None:
    users, items = _arrays(pairs)
    first = draw(users, items, 0.5, 1, "d")
    again = draw(users[::-1], items[::-1], 0.5, 1, "d")
    assert [part.tolist() for part in first] == [part.tolist() for part in again]


def test_other_seeds_and_domains_draw_differently() -> None:
    users, items = _arrays({(user, (user * 7 + step) % 100) for user in range(100) for step in range(3)})
    drawn = {tuple(draw(users, items, 0.3, seed, name)[1]) for seed in (1, 2) for name in ("a", "b")}
    assert len(drawn) == 4


@pytest.mark.parametrize("wanted", [1, 3, 5, 6, 8])  # up to half of ten by rejection, above by permutation
def test_every_item_and_every_pair_of_items_is_equally_likely(wanted: int) -> None:
    people = 20_000
    users = np.repeat(np.arange(people), 2)
    items = np.tile([0, 1], people)
    others = np.arange(2, 12)
    users = np.concatenate([users, np.full(10, people)])
    items = np.concatenate([items, others])
    drawn_users, drawn_items = draw(users, items, 2 / (wanted + 0.5), 7, "d")
    table = np.zeros((people, 12), dtype=np.int64)
    inside = drawn_users < people
    table[drawn_users[inside], drawn_items[inside]] = 1
    table = table[:, 2:]
    assert (table.sum(1) == wanted).all()
    single, pair = wanted / 10, wanted * (wanted - 1) / 90
    both = table.T @ table
    for expected, counts in ((single, both.diagonal()), (pair, both[~np.eye(10, dtype=bool)])):
        spread = 5 * np.sqrt(people * expected * (1 - expected)) + 1e-9
        assert np.abs(counts - people * expected).max() <= spread


def test_the_first_drawn_is_uniform_too() -> None:
    people = 20_000
    users = np.concatenate([np.arange(people), np.full(10, people)])
    items = np.concatenate([np.zeros(people, dtype=np.int64), np.arange(1, 11)])
    for ratio in (0.3, 0.13):  # three by rejection, seven by permutation
        drawn_users, drawn_items = draw(users, items, ratio, 3, "d")
        first = drawn_items[np.unique(drawn_users, return_index=True)[1]][:people]
        counts = np.bincount(first, minlength=11)[1:]
        assert np.abs(counts - people / 10).max() < 5 * np.sqrt(people * 0.09)


def test_all_items_are_taken_where_there_are_too_few() -> None:
    users, items = draw(np.array([0, 1, 1]), np.array([0, 1, 2]), 0.1, 1, "d")
    assert sorted(zip(users.tolist(), items.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 0)]


def test_a_domain_with_one_item_or_no_rows_has_no_negatives() -> None:
    assert not len(draw(np.array([0, 1]), np.array([5, 5]), 0.2, 1, "d")[0])
    assert not len(draw(np.array([], dtype=np.int64), np.array([], dtype=np.int64), 0.2, 1, "d")[0])


def test_ratios_are_the_thirty_that_the_paper_prints() -> None:
    assert paper_ratios(30) == [float(value) for value in PUBLISHED.split()]


def test_ratios_may_be_given_for_all_or_by_name() -> None:
    assert ratios(["a", "b"], 0.4) == [0.4, 0.4]
    assert ratios(["a", "b"], {"b": 0.4}) == [0.22, 0.4]
    assert ratios(["a", "b"]) == [0.22, 0.23]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (0.0, "CTR ratio 0.0"),
        (-1.0, "above 0"),
        (float("nan"), "CTR ratio nan"),
        ({"c": 0.3}, "unknown domain 'c'"),
    ],
)
def test_ratios_that_cannot_be(given: float | dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ratios(["a", "b"], given)
