from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from mamdr.data.synthetic import MarketConfig, best_auc, domain_name, iter_market, make_market, true_scores
from mamdr.errors import ConfigError

SMALL = MarketConfig(domains=6, users=400, items=300, samples_per_domain=1500, seed=3)


def mean_agreement(conflict: float) -> float:
    """Mean correlation between domains' true scores over random pairs of a user and an item."""
    config = MarketConfig(domains=12, conflict=conflict)
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, config.users, 4000), rng.integers(0, config.items, 4000)
    scores = [true_scores(config, domain, users, items) for domain in range(config.domains)]
    return float(np.mean([np.corrcoef(left, right)[0, 1] for left, right in combinations(scores, 2)]))


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    wins = (scores[labels == 1][:, None] > scores[labels == 0][None, :]).mean()
    return float(wins)


def test_is_a_canonical_table() -> None:
    market = make_market(SMALL)
    assert market.schema == {"user_id": pl.Int64, "item_id": pl.Int64, "domain": pl.String, "label": pl.Int64}
    assert market["domain"].unique(maintain_order=True).to_list() == [domain_name(d) for d in range(6)]
    assert set(market["label"].unique()) == {0, 1}
    assert market["user_id"].is_between(0, 399).all()
    assert market["item_id"].is_between(0, 299).all()
    assert not market.select("user_id", "item_id", "domain").is_duplicated().any()
    assert market.null_count().sum_horizontal().item() == 0


def test_same_seed_same_market_other_seed_another() -> None:
    assert make_market(SMALL).equals(make_market(SMALL))
    assert not make_market(SMALL).equals(make_market(replace(SMALL, seed=4)))


def test_more_domains_and_truth_change_nothing_that_was_there() -> None:
    market, longer = make_market(SMALL), make_market(replace(SMALL, domains=9), truth=True)
    assert longer[: len(market)].drop("probability").equals(market)
    assert longer["domain"].n_unique() == 9


def test_the_conflict_dial_changes_labels_but_not_who_meets_what() -> None:
    calm, torn = make_market(replace(SMALL, conflict=0.0)), make_market(replace(SMALL, conflict=1.0))
    assert calm.drop("label").equals(torn.drop("label"))
    assert not calm.equals(torn)


@pytest.mark.parametrize("rows", [1, 700, 1500, 2999, 10**9])
def test_chunks_equal_the_whole(rows: int) -> None:
    config = replace(SMALL, samples_per_domain=100) if rows == 1 else SMALL
    whole = make_market(config, truth=True)
    chunks = list(iter_market(config, rows, truth=True))
    assert pl.concat(chunks).equals(whole)
    assert {len(chunk) for chunk in chunks[:-1]} <= {rows}
    assert 0 < len(chunks[-1]) <= rows


def test_progress_says_how_far() -> None:
    seen: list[tuple[str, int, int]] = []
    market = make_market(SMALL, progress=lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == np.cumsum([SMALL.size(d) for d in range(6)]).tolist()
    assert seen[-1] == ("making a market", len(market), len(market))


def test_sizes_are_as_announced_long_tailed_and_of_the_mean_asked_for() -> None:
    config = MarketConfig(domains=2000, users=10**7, items=10**7, samples_per_domain=7088, tail=0.8)
    sizes = np.array([config.size(domain) for domain in range(config.domains)])
    assert sizes.mean() == pytest.approx(7088, rel=0.2)
    assert np.median(sizes) < 0.45 * sizes.mean()
    assert np.sort(sizes)[-20:].sum() > 0.2 * sizes.sum()
    counts = make_market(SMALL)["domain"].value_counts().sort("domain")["count"]
    assert counts.to_list() == [SMALL.size(domain) for domain in range(6)]


def test_without_tail_all_domains_are_equal_and_pools_bound_them() -> None:
    assert {replace(SMALL, tail=0.0).size(d) for d in range(6)} == {1500}
    tiny = MarketConfig(domains=3, users=8, items=8, samples_per_domain=1000, overlap=0.01)
    assert {tiny.size(d) for d in range(3)} == {16}
    assert len(make_market(tiny)) == 48


def test_ratios_of_positives_to_negatives_are_in_the_range() -> None:
    config = replace(SMALL, samples_per_domain=6000, users=2000, items=2000, tail=0.0, ctr_ratio=(0.2, 0.5))
    rows = make_market(config, truth=True).group_by("domain").agg(pl.col("label", "probability").mean())
    ratio = rows["probability"] / (1 - rows["probability"])
    assert ratio.is_between(0.2, 0.5).all()
    assert ratio.max() - ratio.min() > 0.05  # type: ignore[operator]
    assert (rows["label"] - rows["probability"]).abs().max() < 0.02  # type: ignore[operator]


def test_domains_share_the_users_that_the_overlap_says() -> None:
    config = MarketConfig(domains=20, users=600, items=600, samples_per_domain=15_000, tail=0.0, overlap=0.4)
    seen = make_market(config).group_by("domain").agg(pl.col("user_id").unique())["user_id"].to_list()
    assert {len(users) for users in seen} == {240}
    shares = [len(set(left) & set(right)) / 240 for left, right in combinations(seen, 2)]
    assert np.mean(shares) == pytest.approx(0.4, abs=0.02)


def test_conflict_lowers_agreement_from_one_to_none() -> None:
    values = [mean_agreement(conflict) for conflict in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values[0] == pytest.approx(1.0)
    assert all(left > right + 0.1 for left, right in pairwise(values))
    assert abs(values[-1]) < 0.15


def test_with_full_conflict_some_domains_want_the_opposite() -> None:
    config = MarketConfig(conflict=1.0, tastes=1)
    users = np.arange(100)
    scores = [true_scores(config, domain, users, users) for domain in range(12)]
    assert min(np.corrcoef(left, right)[0, 1] for left, right in combinations(scores, 2)) == pytest.approx(-1)


def test_scores_have_variance_one_whatever_the_dials() -> None:
    rng = np.random.default_rng(1)
    for conflict, tastes in ((0.0, 1), (0.5, 4), (1.0, 7)):
        config = MarketConfig(conflict=conflict, tastes=tastes, users=10**6, items=10**6)
        users, items = rng.integers(0, 10**6, (2, 50_000))
        assert true_scores(config, 0, users, items).std() == pytest.approx(1, abs=0.03)


def test_no_corrupted_scorer_beats_the_best_auc() -> None:
    market, best = make_market(SMALL, truth=True), best_auc(SMALL)
    rng = np.random.default_rng(2)
    assert best.mean == pytest.approx(np.mean(list(best.domains.values())))
    for (name,), rows in market.group_by("domain"):
        labels, truth = rows["label"].to_numpy(), rows["probability"].to_numpy()
        assert auc(labels, truth) == pytest.approx(best.domains[str(name)], abs=1e-9)
        for noise in (0.1, 0.3):
            assert auc(labels, truth + noise * rng.normal(size=len(truth))) < best.domains[str(name)]


def test_noise_lowers_the_best_auc() -> None:
    means = [best_auc(replace(SMALL, noise=noise)).mean for noise in (0.01, 0.5, 1.0, 100.0)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.99
    assert means[-1] == pytest.approx(0.5, abs=0.03)


def test_a_domain_of_one_class_has_no_best_auc() -> None:
    rare = MarketConfig(domains=2, users=8, items=8, samples_per_domain=8, ctr_ratio=(1e-9, 1e-9))
    assert best_auc(rare) == (None, {"domain-00000": None, "domain-00001": None})


def test_the_embedded_market_has_the_shape_of_a_demo() -> None:
    config = MarketConfig()
    assert 120_000 <= sum(map(config.size, range(config.domains))) <= 200_000
    best = best_auc(config)
    assert best.mean is not None
    assert 0.8 < best.mean < 0.87


def test_many_domains_stream() -> None:
    config = MarketConfig(
        domains=69_102, users=84_000_000, items=16_000_000, samples_per_domain=7088, tail=0.8
    )
    first = next(iter(iter_market(config, 20_000)))
    assert len(first) == 20_000
    assert first["user_id"].max() > 1_000_000  # type: ignore[operator]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("domains", 0),
        ("users", 7),
        ("items", 2**31),
        ("samples_per_domain", 0),
        ("tail", 1.0),
        ("tail", float("nan")),
        ("overlap", 0.0),
        ("overlap", 1.1),
        ("conflict", -0.1),
        ("conflict", 1.1),
        ("tastes", 0),
        ("noise", 0.0),
        ("noise", float("inf")),
        ("ctr_ratio", (0.5, 0.2)),
        ("ctr_ratio", (0.0, 0.2)),
    ],
)
def test_dials_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"market {field} = .*; expected .*Change {field}"):
        MarketConfig(**{field: value})


def test_chunks_without_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="rows_per_chunk = 0"):
        next(iter_market(SMALL, 0))


def test_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 1  # type: ignore[misc]
