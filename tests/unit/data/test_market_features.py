"""The synthetic market's features: of every kind, the same bytes from the same seed, and worth something."""

from __future__ import annotations

import numpy as np
import polars as pl

import mamdr
from mamdr.data.market_features import with_features
from mamdr.data.synthetic import MarketConfig, make_market

CONFIG = MarketConfig(domains=3, users=300, items=60, samples_per_domain=900, seed=4)


def test_each_user_and_item_has_one_value_and_the_market_is_as_it_was() -> None:
    plain = make_market(CONFIG)
    table = with_features(plain, CONFIG)
    assert table.select(plain.columns).equals(plain)
    for owner in ("user", "item"):
        names = [name for name in table.columns if name.startswith(f"{owner}:")]
        assert len(table.select(f"{owner}_id", *names).unique()) == table[f"{owner}_id"].n_unique()
    assert set(table["user:history"].list.len().unique()) == set(range(9))
    assert table["user:history"].explode().drop_nulls().is_between(0, 59).all()
    assert table["context:hour"].is_between(0, 23).all()


def test_what_a_user_has_does_not_depend_on_who_else_is_there() -> None:
    more = MarketConfig(domains=4, users=300, items=60, samples_per_domain=900, seed=4)
    one, two = (
        with_features(make_market(config), config).select("user_id", "user:history", "user:group").unique()
        for config in (CONFIG, more)
    )
    joined = one.join(two, on="user_id", how="inner")
    assert len(joined) == len(one)
    assert joined.select(pl.col("user:history") == pl.col("user:history_right")).to_series().all()


def test_they_tell_something_of_the_clicks() -> None:
    """Without conflict, dear items are clicked more."""
    config = MarketConfig(domains=2, users=300, items=60, samples_per_domain=3000, conflict=0.0, seed=4)
    table = with_features(make_market(config), config)
    low, high = (table.filter(pl.col("item:price").rank() / len(table) < share) for share in (0.5, 1.0))
    assert float(low["label"].mean()) + 0.05 < float(high["label"].mean())  # type: ignore[arg-type]


def test_the_market_as_data() -> None:
    dials = {"domains": 3, "users": 60, "items": 30, "samples_per_domain": 200}
    data, again = (mamdr.synthetic_market(features=True, **dials) for _ in range(2))
    assert data.fingerprint == again.fingerprint
    kinds = {name: data.schema.kind(name) for name in data.schema.features}
    assert kinds == {
        "user_id": "category",
        "item_id": "category",
        "user:group": "category",
        "user:history": "list",
        "item:tags": "list",
        "item:price": "number",
        "context:hour": "category",
    }
    assert data.schema.shared == {"user:history": "item_id"}
    plain = mamdr.synthetic_market(**dials)
    assert np.array_equal(plain.train.labels, data.train.labels)
    assert "features" not in plain.options
