"""Scores and rankings, without HTTP."""

from __future__ import annotations

import time

import pytest
from tests.unit.registry.shop import Shop

import mamdr
from mamdr.errors import DataError
from mamdr.feature_store import FeatureStore, open_store
from mamdr.registry import Version, load
from mamdr.serving.merged import Merged
from mamdr.serving.scorer import Query, Scorer, TooLateError


@pytest.fixture(scope="module")
def store(shop: Shop) -> FeatureStore:
    return open_store(shop.features)


@pytest.fixture(scope="module")
def version(shop: Shop, store: FeatureStore) -> Version:
    return load(shop.registry, "v00001", store.schema)


@pytest.fixture(scope="module")
def scorer(version: Version, store: FeatureStore) -> Scorer:
    return Scorer(version, store, Merged(1 << 20))


def test_raw_ids_get_the_scores_of_evaluation(shop: Shop, version: Version, scorer: Scorer) -> None:
    run = mamdr.Run.open(shop.run)
    domain = run.data.schema.domains[1]
    scores = dict(run.predict("test"))[1]
    rows = run.data.test
    begin = int(rows.offsets[1])
    for row in range(20):
        user, item = (
            run.data.vocabularies[name].decode(int(rows.columns[name][begin + row]))
            for name in ("user_id", "item_id")
        )
        query = Query(domain, "?" if user is None else user, ["?" if item is None else item])
        answer = scorer.answer(version.served(domain), [query])[0]
        assert answer.scores[0] == pytest.approx(float(scores[row]), abs=1e-6)
        assert (answer.known_user, answer.known_items[0]) == (user is not None, item is not None)


def test_many_queries_of_a_domain_are_answered_as_one_by_one(version: Version, scorer: Scorer) -> None:
    domain = next(iter(version.numbers))
    served = version.served(domain)
    queries = [Query(domain, "3", ["1", "2"]), Query(domain, 4, k=5), Query(domain, "nobody", [7])]
    together = scorer.answer(served, queries)
    for query, answer in zip(queries, together, strict=True):
        alone = scorer.answer(served, [query])[0]
        assert answer.items == alone.items
        assert answer.scores == pytest.approx(alone.scores, abs=1e-6)


def test_a_ranking_is_of_the_domains_items_best_first_without_what_was_seen(
    version: Version, scorer: Scorer, store: FeatureStore
) -> None:
    domain = next(iter(version.numbers))
    user = next(u for u in range(80) if store.seen(domain, u))
    items = set(store.candidates(domain).ids)
    answer = scorer.answer(version.served(domain), [Query(domain, user, k=1000)])[0]
    assert set(answer.items) == items - store.seen(domain, user)
    assert answer.scores == sorted(answer.scores, reverse=True)
    every = scorer.answer(version.served(domain), [Query(domain, user, k=1000, exclude_seen=False)])[0]
    assert set(every.items) == items
    best = scorer.answer(version.served(domain), [Query(domain, user, k=3)])[0]
    assert best.items == answer.items[:3]


def test_a_domain_without_items_has_an_empty_ranking(version: Version, scorer: Scorer) -> None:
    assert scorer.answer(version.served("nowhere"), [Query("nowhere", "1")])[0].items == []


def test_wrong_context_is_refused(version: Version, scorer: Scorer) -> None:
    domain = next(iter(version.numbers))
    with pytest.raises(DataError, match="context 'hour'"):
        scorer.answer(version.served(domain), [Query(domain, "1", ["1"], context={"hour": 3})])


def test_scores_that_come_too_late_are_not_made(version: Version, scorer: Scorer) -> None:
    domain = next(iter(version.numbers))
    with pytest.raises(TooLateError):
        scorer.answer(version.served(domain), [Query(domain, "1", ["1"])], time.monotonic() - 1)
