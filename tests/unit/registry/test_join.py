"""A domain joins: its own part is learned, and nothing else moves by a bit."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch
from tests.unit.registry.shop import Shop, newcomer_rows, open_shop

import mamdr
from mamdr.errors import ConfigError, DataError
from mamdr.feature_store import open_store
from mamdr.registry import Registry, load
from mamdr.registry.add import add_domain
from mamdr.registry.domain_version import load_joined
from mamdr.registry.newcomer_data import TooFewError, newcomer_data
from mamdr.registry.newcomers import Newcomers
from mamdr.serving.merged import Merged
from mamdr.serving.scorer import Query, Scorer
from mamdr.training.joining import JoinOptions

OPTIONS = JoinOptions(rounds=15)
ROWS = newcomer_rows(900, known=100)


@pytest.fixture(scope="module")
def joined(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that a domain has joined."""
    mine = shop.copy(tmp_path_factory.mktemp("joined") / "shop")
    add_domain(mine.registry.folder, "garden", ROWS, OPTIONS, features=mine.features)
    return mine


def test_the_newcomer_is_better_than_shared_and_serves(joined: Shop) -> None:
    status = Newcomers(joined.registry).find("garden")
    assert status is not None
    told = status.status()
    assert told.phase == "live"
    assert told.figures["val"]["own"] >= told.figures["val"]["shared"]
    assert told.figures["test"]["own"] > told.figures["test"]["shared"] + 0.05, told.figures
    assert joined.registry.pointer().placement.of("garden") == told.version == "v00002"


def test_shared_parameters_keep_their_bits_and_other_domains_their_scores(shop: Shop, joined: Shop) -> None:
    before, after = shop.registry.path("v00001"), joined.registry.path("v00001")
    files = [path.relative_to(before) for path in before.rglob("*") if path.is_file()]
    assert all((before / file).read_bytes() == (after / file).read_bytes() for file in files)
    store = open_store(joined.features)
    base = load(joined.registry, "v00001", store.schema)
    version = load_joined(joined.registry, "v00002", base)
    scorer = Scorer(base, store, Merged(1 << 20))
    for domain in base.numbers:
        query = Query(domain, "3", [str(item) for item in range(50)])
        assert scorer.answer(version.served(domain), [query])[0].scores == (
            scorer.answer(base.served(domain), [query])[0].scores
        )


def test_what_serves_is_what_the_gate_measured(joined: Shop) -> None:
    """The AUC of scores by raw ids, those of new users and items among them, is the one that was told."""
    store = open_store(joined.features)
    base = load(joined.registry, "v00001", store.schema)
    version = load_joined(joined.registry, "v00002", base)
    scorer, served = Scorer(base, store, Merged(1 << 20)), version.served("garden")
    assert version.items
    made = newcomer_data(
        base, store, joined.registry.path("v00001") / "helpers", _text(), "garden", OPTIONS
    ).data
    scores = torch.cat(
        [scorer.score(served, batch) for batch, _ in made.test.batches([served.number], 8192, None)]
    )
    auc = mamdr.evaluation.auc.grouped_auc(scores.numpy(), made.test.labels.numpy(), [0] * len(scores), 1)[0]
    told = version.manifest["gate"]["test"]["own"]
    assert auc == pytest.approx(told, abs=1e-9)
    item, identity = next(iter(version.items.items()))
    answer = scorer.answer(served, [Query("garden", "no one", [item, "no such thing"])])[0]
    assert (answer.known_items, identity >= base.schema.ids["item_id"]) == ([True, False], True)
    assert answer.scores[0] != answer.scores[1]


def test_with_features_of_every_kind(tmp_path: Path) -> None:
    shop = open_shop(tmp_path / "rich", features=True, domains=3)
    rows = newcomer_rows().with_columns(pl.lit(1, dtype=pl.Int8).alias("label"))
    both = pl.concat([rows, rows.reverse().with_columns(pl.lit(0, dtype=pl.Int8).alias("label"))])
    made = add_domain(shop.registry.folder, "garden", both, JoinOptions(rounds=2), features=shop.features)
    assert made.counts["positives"] > 100
    assert made.result.figures["val"]["own"] is not None


def test_a_part_that_is_worse_does_not_serve(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mamdr.training import joining

    real = joining._auc

    def better_shared(*args: object) -> float | None:
        return 1.0 if args[-1] == 0.0 else real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(joining, "_auc", better_shared)
    mine = shop.copy(tmp_path / "shop")
    made = add_domain(
        mine.registry.folder, "garden", newcomer_rows(), JoinOptions(rounds=1), features=mine.features
    )
    assert (made.version, made.result.live) == (None, False)
    assert "1.0000" in made.result.reason
    found = Newcomers(mine.registry).find("garden")
    assert found is not None
    assert found.status().phase == "rejected"
    assert mine.registry.names() == ["v00001"]


def test_what_cannot_join_is_told(shop: Shop, tmp_path: Path) -> None:
    mine = shop.copy(tmp_path / "shop")
    place, known = mine.registry.folder, mamdr.Dataset.load(mine.data).schema.domains[0]
    with pytest.raises(ConfigError, match="a domain of the name"):
        add_domain(place, known, newcomer_rows(), OPTIONS, features=mine.features)
    with pytest.raises(TooFewError, match="10 positives so far"):
        add_domain(place, "tiny", newcomer_rows(10), OPTIONS, features=mine.features)
    with pytest.raises(DataError, match="the domain"):
        add_domain(place, "a\nb", newcomer_rows(), OPTIONS, features=mine.features)
    with pytest.raises(ConfigError, match="no features for"):
        add_domain(place, "new", newcomer_rows(), OPTIONS)


def test_one_class_on_validation_cannot_be_compared(shop: Shop, tmp_path: Path) -> None:
    mine = shop.copy(tmp_path / "shop")
    rows = newcomer_rows().with_columns(pl.lit(1, dtype=pl.Int8).alias("label"))
    made = add_domain(mine.registry.folder, "garden", rows, JoinOptions(rounds=1), features=mine.features)
    assert made.version is None
    assert "not of both classes" in made.result.reason


def test_newcomers_are_kept_under_hashes(tmp_path: Path) -> None:
    newcomers = Newcomers(Registry(tmp_path))
    for name in ("a/b", "..", "ü", "'; drop table"):
        assert newcomers.put(name, "title").domain == name
    assert [newcomer.domain for newcomer in newcomers.all()] == sorted(["a/b", "..", "ü", "'; drop table"])
    assert all(len(path.name) == 32 for path in newcomers.folder.iterdir())
    assert newcomers.find("absent") is None


def _text() -> pl.DataFrame:
    return ROWS.with_columns(domain=pl.lit("garden"))
