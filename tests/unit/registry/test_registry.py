"""Versions on disk: immutable, checked, kept and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.unit.registry.shop import Shop, shop_train

import mamdr
from mamdr.errors import CheckpointError, ConfigError, DataError, MamdrError
from mamdr.registry import Registry, load, publish


def test_a_version_says_what_it_is(shop: Shop) -> None:
    content = shop.registry.manifest("v00001")
    assert (content["kind"], content["run"], content["model"]) == ("full", "run", "mlp")
    assert content["data"]["fingerprint"] == mamdr.Dataset.load(shop.data).fingerprint
    assert {"torch", "python", "mamdr"} <= content["libraries"].keys()
    assert content["recipe"]["strategy"]["num_helpers"] == 1
    assert "parameters/dense.npy" in content["files"]


def test_versions_are_numbered_and_never_overwritten(shop: Shop, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    names = [publish(shop.run, registry) for _ in range(3)]
    assert names == registry.names() == ["v00001", "v00002", "v00003"]
    assert registry.pointer().placement.serving is None


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "manifest", "no json"])
def test_a_damaged_version_is_refused_in_one_line(shop: Shop, tmp_path: Path, harm: str) -> None:
    mine = shop.copy(tmp_path / "shop")
    path = mine.registry.path("v00001") / "parameters" / "dense.npy"
    if harm == "flip":
        held = bytearray(path.read_bytes())
        held[-1] ^= 1
        path.write_bytes(bytes(held))
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif harm == "remove":
        path.unlink()
    else:
        manifest = mine.registry.path("v00001") / "manifest.json"
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("mlp", "mlq") if harm == "manifest" else text[:-5], encoding="utf-8")
    schema = mamdr.Dataset.load(mine.data).schema
    for attempt in (lambda: load(mine.registry, "v00001", schema), lambda: mine.registry.promote("v00001")):
        with pytest.raises(CheckpointError, match="damaged") as caught:
            attempt()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["v1", "../v00001", "v00009", "v00001/parameters", "", "current.json", "v00001\0"]
)
def test_names_that_no_version_has_lead_nowhere(shop: Shop, name: str) -> None:
    with pytest.raises(ConfigError, match="no version"):
        shop.registry.path(name)


def test_a_damaged_pointer_is_told_and_can_be_begun_anew(shop: Shop, tmp_path: Path) -> None:
    mine = shop.copy(tmp_path / "shop")
    (mine.registry.folder / "current.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"current\.json is damaged"):
        mine.registry.promote("v00001")
    assert mine.registry.promote("v00001", reset=True).placement.serving == "v00001"


def test_what_serves_or_served_last_is_never_removed(shop: Shop, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for _ in range(5):
        publish(shop.run, registry)
    registry.promote("v00001")
    registry.promote("v00003")
    registry.promote("v00002", shop_domain(shop))
    assert registry.retain(1) == ["v00001", "v00004"]
    assert registry.rollback().placement.of(shop_domain(shop)) == "v00003"
    assert publish(shop.run, registry) == "v00006"
    with pytest.raises(ConfigError, match="keep 0"):
        registry.retain(0)


def test_a_rollback_to_what_is_gone_is_refused(shop: Shop, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for _ in range(2):
        registry.promote(publish(shop.run, registry))
    shutil.rmtree(registry.folder / "versions" / "v00001")
    with pytest.raises(ConfigError, match="no version 'v00001'"):
        registry.rollback()
    assert registry.pointer().placement.serving == "v00002"


def test_a_domain_that_a_version_lacks_cannot_be_put_in_its_charge(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="does not hold the domain 'garden'"):
        shop.registry.promote("v00001", "garden")


def test_models_of_ones_own_are_not_published(shop: Shop, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(shop.run, run)
    for name in ("recipe.toml", "run.json"):
        text = (run / name).read_text(encoding="utf-8")
        (run / name).write_text(text.replace('"mlp"', '"custom"'), encoding="utf-8")
    with pytest.raises(MamdrError, match="of your own"):
        publish(run, Registry(tmp_path / "registry"))


def test_a_full_disk_leaves_nothing(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mamdr.registry import layout

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    registry = Registry(tmp_path / "registry")
    monkeypatch.setattr(layout.np, "save", full)
    with pytest.raises(DataError, match="No space left"):
        publish(shop.run, registry)
    assert registry.names() == []
    assert list((registry.folder / "versions").iterdir()) == []


def test_a_run_of_another_strategy_is_published_too(shop: Shop, tmp_path: Path) -> None:
    shop_train(shop, tmp_path / "run", strategy={"name": "alternate"})
    registry = Registry(tmp_path / "registry")
    assert registry.manifest(publish(tmp_path / "run", registry))["strategy"] == "alternate"


def shop_domain(shop: Shop) -> str:
    return mamdr.Dataset.load(shop.data).schema.domains[0]
