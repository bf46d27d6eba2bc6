"""Features of every kind from files through the commands, with only the model's name changed from run to run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from mamdr.cli import app
from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError, DataError, MamdrError, ModelError
from mamdr.seeds import generator

ROWS, USERS, ITEMS = 400, 30, 20
OPTIONS = [
    *("--list", "user:history=|", "--list", "item:tags=;"),
    *("--max-length", "user:history=3", "--share", "user:history=item_id", "--vectors", "item_id=items.npz"),
]
RECIPE = """
[model]
name = "mlp"
embedding = 4
hidden = [8]

[model.features]
pooling = { "item:tags" = "max", "user:history" = "sum" }

[strategy]
name = "mamdr"
num_helpers = 1

[train]
rounds = 2
seed = 1
"""


def _good(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None, result.exception
    return result.stdout


def _bad(kind: type[MamdrError], *words: object) -> str:
    error = CliRunner().invoke(app, [str(word) for word in words]).exception
    assert isinstance(error, kind), error
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clicks.csv and items.npz; a click depends on the item's vector and price, and on who meets what."""
    place = tmp_path_factory.mktemp("features")
    draw = generator(3, "features of every kind")
    user, item = draw.integers(0, USERS, ROWS), draw.integers(0, ITEMS, ROWS)
    picture = draw.normal(size=(ITEMS, 6)).astype(np.float32)
    history = ["|".join(f"i{i}" for i in draw.integers(0, ITEMS, n % 5)) for n in range(USERS)]
    tags = [";".join(f"tag {t}" for t in range(n % 4)) for n in range(ITEMS)]
    price = np.exp(draw.normal(size=ITEMS) + 4)
    liked = (
        picture[item, 0] + np.log(price[item]) - 4 + (item % 4 == user % 4) + draw.normal(size=ROWS) / 2 > 0
    )
    pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in item],
            "domain": [f"shop {n % 3}" for n in range(ROWS)],
            "label": liked.astype(int),
            "user:history": [history[u] for u in user],
            "item:tags": [tags[i] for i in item],
            "item:price": price[item],
            "context:hour": draw.integers(0, 24, ROWS),
        }
    ).write_csv(place / "clicks.csv")
    np.savez(place / "items.npz", ids=np.array([f"i{i}" for i in range(ITEMS)]), vectors=picture)
    (place / "recipe.toml").write_text(RECIPE)
    return place


@pytest.fixture
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    if not (folder / "data").exists():
        _good("data", "import", "clicks.csv", "--out", "data", *OPTIONS)
    return folder


def test_what_was_imported(place: Path) -> None:
    schema = Dataset.load(place / "data").schema
    assert schema.lists == {"user:history": 3, "item:tags": 50}
    assert schema.shared == {"user:history": "item_id"}
    assert schema.scales.keys() == {"item:price"}
    assert schema.vectors["item_id"].shape == (ITEMS + 2, 6)
    owners = {name: (schema.owner(name), schema.kind(name)) for name in schema.features}
    assert owners == {
        "user_id": ("user", "category"),
        "item_id": ("item", "category"),
        "user:history": ("user", "list"),
        "item:tags": ("item", "list"),
        "context:hour": ("context", "category"),
        "item:price": ("item", "number"),
    }


def test_it_is_described_by_owner_and_kind(place: Path) -> None:
    said = {row["name"]: row for row in json.loads(_good("data", "describe", "data", "--json"))["features"]}
    assert [(row["owner"], row["kind"]) for row in said.values()] == sorted(
        ((row["owner"], row["kind"]) for row in said.values()),
        key=lambda pair: ("user", "item", "context").index(pair[0]),
    )
    history = said["user:history"]
    assert (history["ids"], history["shared"], history["longest"]) == (ITEMS + 2, "item_id", 3)
    lists = Dataset.load(place / "data").train.lists["user:history"]
    assert history["mean_length"] == pytest.approx(sum(map(len, lists.to_lists())) / len(lists))
    assert said["item_id"]["vectors"] == 6
    assert said["item:price"]["mean"] > 0
    shown = _good("data", "describe", "data")
    for words in ("user:history", "list", "item_id", "up to 3", "vectors of 6", "context"):
        assert words in shown


@pytest.mark.parametrize("model", ["mlp", "deepfm", "star"])
def test_only_the_models_name_changes(model: str, place: Path) -> None:
    run = f"run-{model}"
    _good("train", "recipe.toml", "--data", "data", "--out", run, "--quiet", "--set", f"model.name={model}")
    figures: dict[str, Any] = json.loads(_good("evaluate", run, "--json"))
    assert math.isfinite(figures["mean_auc"])
    assert len(figures["domains"]) == 3
    assert "user:history" in (place / run / "recipe.toml").read_text()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--list", "item:tags"], ConfigError, "--list item:tags; expected --list NAME=VALUE"),
        (["--list", "item:tags=;", "--list", "item:tags=|"], ConfigError, "expected each name once"),
        (["--list", "item:tag=;"], DataError, "clicks.csv has no feature 'item:tag'"),
        (["--share", "user:history=items"], ConfigError, "no column of categories is named 'items'"),
        (["--vectors", "item_id=none.npz"], DataError, "there is no file none.npz"),
        (["--vectors", "item:price=items.npz"], ConfigError, "vectors for 'item:price'"),
        (["--max-length", "many"], ConfigError, "--max-length many; expected one number"),
        (["--list", "item:tags=;", "--max-length", "0"], ConfigError, "max_length item:tags = 0"),
    ],
)
def test_an_import_that_cannot_be(
    options: list[str], error: type[MamdrError], message: str, place: Path
) -> None:
    said = _bad(error, "data", "import", "clicks.csv", "--out", "bad", *options)
    assert message in said
    assert not (place / "bad").exists()


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        (
            'model.features.pooling={"user:past"="max"}',
            ModelError,
            "'user:past'; expected one of the data's columns",
        ),
        ("model.features.pooling=median", ConfigError, "expected 'mean', 'sum' or 'max'"),
        ('model.features.without=["user:age"]', ModelError, "names 'user:age'"),
        ("model.features.vectors=thawed", ConfigError, "expected 'frozen', 'trained' or 'off'"),
        ("model.features=3", ConfigError, "model.features = 3; expected a table"),
    ],
)
def test_a_recipe_that_cannot_be(setting: str, error: type[MamdrError], message: str, place: Path) -> None:
    said = _bad(error, "train", "recipe.toml", "--data", "data", "--out", "bad-run", "--set", setting)
    assert message in said
    assert not (place / "bad-run").exists()
