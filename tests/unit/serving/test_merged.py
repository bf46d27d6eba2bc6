"""Merged parts are kept up to so many bytes, and those asked for least recently go first."""

from __future__ import annotations

import torch
from tests.unit.registry.shop import Shop

from mamdr.feature_store import open_store
from mamdr.registry import load
from mamdr.serving.merged import Merged


def test_memory_is_bounded_and_the_least_recent_goes(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    domains = list(version.numbers)
    size = version.state.shared.dense.nbytes
    merged = Merged(2 * size)
    for domain in (0, 1, 0, 2, 0, 1):
        merged.dense(version.served(domains[domain]))
        assert merged.bytes <= 2 * size
    assert (merged.hits, merged.misses, len(merged)) == (2, 4, 2)


def test_a_merged_part_is_what_the_store_gives(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    served, merged = version.served(next(iter(version.numbers))), Merged(1 << 20)
    expected = served.stores[0].pull(version.space.no_ids()).flat
    assert torch.equal(merged.dense(served), expected)
    assert not torch.equal(expected, version.state.shared.dense)


def test_a_domain_without_a_part_costs_nothing(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    merged = Merged(1)
    assert merged.dense(version.served("nowhere")) is version.state.shared.dense
    assert merged.bytes == 0


def test_versions_that_serve_no_more_are_forgotten(shop: Shop) -> None:
    version, merged = load(shop.registry, "v00001", open_store(shop.features).schema), Merged(1 << 20)
    merged.dense(version.served(next(iter(version.numbers))))
    merged.forget({"v00001"})
    assert len(merged) == 1
    merged.forget(set())
    assert (len(merged), merged.bytes) == (0, 0)
