"""A sampled user keeps every interaction, and no other user keeps any."""

from __future__ import annotations

import polars as pl
import pytest

from mamdr.data.sample import sample_users
from mamdr.errors import ConfigError

TABLE = pl.DataFrame({"user_id": [f"u{i % 50}" for i in range(500)], "item_id": list(range(500))})


def test_a_user_is_kept_whole_or_not_at_all() -> None:
    kept = sample_users(TABLE, 0.3, seed=4)
    assert kept["user_id"].n_unique() == 15
    assert kept["user_id"].value_counts()["count"].unique().to_list() == [10]
    assert kept["item_id"].is_sorted()


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    users = set(sample_users(TABLE, 0.3, seed=4)["user_id"])
    assert users == set(sample_users(TABLE.reverse(), 0.3, seed=4)["user_id"])
    assert users != set(sample_users(TABLE, 0.3, seed=5)["user_id"])


def test_all_of_them_is_the_table() -> None:
    assert sample_users(TABLE, 1.0, seed=4).equals(TABLE)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        sample_users(TABLE, share, seed=1)
