"""A loaded version scores as the run does, for every kind of model and strategy, without the training data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.models.zoo import SMALL
from tests.unit.registry.shop import Shop, open_shop, shop_train

import mamdr
from mamdr.errors import CheckpointError
from mamdr.feature_store import open_store
from mamdr.registry import Registry, Version, load, publish
from mamdr.registry.manifest import FORMAT, SEVERAL
from mamdr.serving.merged import Merged
from mamdr.serving.scorer import Scorer


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A market with features of every kind."""
    return open_shop(tmp_path_factory.mktemp("rich"), features=True)


def assert_scores_as(run: mamdr.Run, version: Version, features: Path) -> None:
    """Every test row has the score that evaluation gives it."""
    scorer = Scorer(version, open_store(features), Merged(1 << 16))
    for domain, expected in run.predict("test"):
        served = version.served(run.data.schema.domains[domain])
        for batch, _ in run.data.test.batches([domain], 8192, None):
            scores = scorer.score(served, batch)
            torch.testing.assert_close(scores, torch.from_numpy(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("model", ["mlp", "star", "adasparse", "m2m", "mlora", "pepnet"])
def test_models_with_all_kinds_of_features(rich: Shop, tmp_path: Path, model: str) -> None:
    run = shop_train(rich, tmp_path / "run", model={"name": model, **SMALL[model]}, train={"rounds": 1})
    registry = Registry(tmp_path / "registry")
    version = load(registry, publish(tmp_path / "run", registry), run.data.schema)
    assert_scores_as(run, version, rich.features)


STRATEGIES: dict[str, dict[str, Any]] = {
    "fine-tuned": {"strategy": {"name": "finetune", "after": {"name": "alternate"}}},
    "shared alone": {"strategy": {"name": "joint"}},
    "separate": {"strategy": {"name": "separate"}},
    "rounds of their own": {"train": {"rounds": 2, "patience": 0, "choose": "domain"}},
    "several rounds": {"train": {"rounds": 4, "patience": 0, "choose": "domain", "snapshots": 3}},
    "low rank": {"specific": {"rank": 2}},
    "dense alone": {"specific": {"parameters": "dense"}},
}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_strategies_and_kinds_of_specific_parts(shop: Shop, tmp_path: Path, kind: str) -> None:
    run = shop_train(shop, tmp_path / "run", **STRATEGIES[kind])
    registry = Registry(tmp_path / "registry")
    version = load(registry, publish(tmp_path / "run", registry), run.data.schema)
    assert_scores_as(run, version, shop.features)


def test_a_version_needs_neither_run_nor_data(shop: Shop, tmp_path: Path) -> None:
    mine, run = shop.copy(tmp_path / "shop"), mamdr.Run.open(shop.run)
    for gone in (mine.data, mine.run):
        shutil.rmtree(gone)
    version = load(mine.registry, "v00001", open_store(mine.features).schema)
    assert_scores_as(run, version, mine.features)


def test_tables_are_not_copied(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    assert all(parameter.is_meta for name, parameter in version.module.named_parameters() if "tables" in name)


def test_an_unseen_domain_is_served_by_shared_with_the_mean_of_all_domains_rows(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    served = version.served("never seen")
    assert (served.number, served.own) == (5, False)
    table = next(t for t, table in enumerate(version.space.tables) if table.columns == ("domain",))
    ids = list(version.space.no_ids())
    ids[table] = torch.tensor([4, 5])
    rows = served.rows[0].pull(tuple(ids)).rows(table)
    mean = version.state.shared.tables[table].mean(0)
    torch.testing.assert_close(rows[1], mean)
    assert torch.equal(rows[0], version.state.shared.tables[table][4])


def test_a_version_of_other_data_is_refused(shop: Shop, tmp_path: Path) -> None:
    other = mamdr.synthetic_market(domains=2, users=20, items=10, samples_per_domain=50)
    with pytest.raises(CheckpointError, match="other data"):
        load(shop.registry, "v00001", other.schema)


def test_published_parts_cannot_be_changed(shop: Shop) -> None:
    version = load(shop.registry, "v00001", open_store(shop.features).schema)
    with pytest.raises(CheckpointError, match="published part"):
        version.state.specific[0] = version.state.specific[1]
    with pytest.raises(CheckpointError, match="published part"):
        del version.state.specific[0]


def test_an_older_version_of_the_library_refuses_what_it_would_misread(shop: Shop, tmp_path: Path) -> None:
    """Where several rounds serve a domain, the manifest says so by its format; elsewhere nothing is different."""
    registry = Registry(tmp_path / "registry")
    several: dict[str, Any] = {"rounds": 4, "patience": 0, "choose": "domain", "snapshots": 3}
    for form, train in ((FORMAT, several | {"snapshots": 1}), (SEVERAL, several)):
        run = shop_train(shop, tmp_path / str(form), train=train)
        path = registry.path(publish(tmp_path / str(form), registry))
        assert json.loads((path / "manifest.json").read_text())["format"] == form
        assert bool(run.state.further) == (path / "parameters/further").exists() == (form == SEVERAL)


def test_each_round_of_a_domain_has_its_own_merged_values(shop: Shop, tmp_path: Path) -> None:
    several: dict[str, Any] = {"rounds": 4, "patience": 0, "choose": "domain", "snapshots": 3}
    run = shop_train(shop, tmp_path / "run", train=several)
    registry, merged = Registry(tmp_path / "registry"), Merged(1 << 20)
    version = load(registry, publish(tmp_path / "run", registry), run.data.schema)
    for domain in run.data.schema.domains:
        served = version.served(domain)
        values = [merged.dense(served, number).clone() for number in range(len(served.stores))]
        again = [merged.dense(served, number) for number in range(len(served.stores))]
        assert all(torch.equal(one, other) for one, other in zip(values, again, strict=True))
        assert len({tuple(one.tolist()) for one in values}) == len(values)
    assert max(len(version.served(domain).stores) for domain in run.data.schema.domains) > 1
