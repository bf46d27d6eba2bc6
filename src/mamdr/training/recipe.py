"""Recipes: one TOML file that says what to train and how.

    [model]     name, and the model's own settings; [model.features] for how it uses features (models.FeaturesConfig)
    [strategy]  name, and the strategy's own settings; [strategy.outer] for another outer optimizer
    [specific]  parameters, rank: what a domain's specific part holds    (parameters.Specific)
    [inner]     name (sgd, adam, adagrad) and settings of the inner optimizer
    [walk]      batch_size, embedding_l2, rows, dropout, precision    (engine.WalkOptions)
    [train]     rounds, patience, monitor, seed, jobs, device          (training.TrainOptions)
    [data]      name: the data set that the recipe is for, when it is for one
    [cluster]   units, combine, shards, workers ...: for `mamdr cluster train`    (training.cluster.ClusterOptions)
    [search]    what `mamdr tune` may vary: "table.key" = [choices] or { low, high, log }    (training.search)

An unknown table or key is an error.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mamdr import models, strategies
from mamdr.config import component, lookup, nearest, parse
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.errors import ConfigError
from mamdr.parameters import Specific
from mamdr.strategies import Strategy
from mamdr.training.cluster import ClusterOptions
from mamdr.training.options import TrainOptions
from mamdr.training.search import Choice, choice, said

_TABLES = ("model", "strategy", "specific", "inner", "walk", "train", "data", "cluster", "search")


@component
class _DataWanted:
    name: str = ""


@dataclass(frozen=True)
class Recipe:
    """What to train and how, checked.

    Args:
        model: name and every setting, as `models.build` takes them.
        strategy: the strategy.
        walk: settings of the inner loop.
        train: settings of the outer loop.
        data: name of the data set that the recipe is for; "" is any.
        specific: what a domain's specific part may hold.
        search: by "table.key", what `mamdr tune` may choose from.
        cluster: how a cluster trains it.
    """

    model: dict[str, Any]
    strategy: Strategy
    walk: WalkOptions = field(default_factory=WalkOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    data: str = ""
    specific: Specific = field(default_factory=Specific)
    search: dict[str, Choice] = field(default_factory=dict)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    @classmethod
    def load(cls, path: Path, overrides: Iterable[str] = ()) -> Recipe:
        """Read a recipe file; `overrides` are `table.key=value` with the value as in TOML (a bare word is text).

        Raises:
            ConfigError: the file is absent or not TOML, a key is unknown, or a value is out of range.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read the recipe {path}", "a TOML file", "Look into recipes/"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}", "a TOML file", "Correct the recipe") from error
        for text in overrides:
            override(values, text)
        return cls.parse(values)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Recipe:
        """Check a recipe's tables.

        >>> Recipe.parse({"model": {"name": "mlp"}, "strategy": {"name": "dn"}}).strategy.outer_lr
        0.1
        """
        for table, content in values.items():
            if table not in _TABLES:
                raise ConfigError(
                    f"unknown table [{table}] in the recipe", ", ".join(_TABLES), nearest(table, _TABLES)
                )
            if not isinstance(content, Mapping):
                raise ConfigError(f"{table} = {content!r}", f"a table [{table}]", "Correct the recipe")
        for table in ("model", "strategy"):
            if not isinstance(values.get(table, {}).get("name"), str):
                raise ConfigError(
                    f"the recipe has no {table}.name", "a name", f'Add name = "..." under [{table}]'
                )
        strategy = dict(values["strategy"])
        return cls(
            _model(values["model"]),
            strategies.build(strategy.pop("name"), strategy),
            cls.walk_of(values),
            parse(TrainOptions, values.get("train", {}), "train"),
            parse(_DataWanted, values.get("data", {}), "data").name,
            cls.specific_of(values),
            {key: choice(key, said) for key, said in values.get("search", {}).items()},
            parse(ClusterOptions, values.get("cluster", {}), "cluster"),
        )

    @staticmethod
    def specific_of(values: Mapping[str, Any]) -> Specific:
        """What a domain's specific part may hold by a recipe's tables."""
        return parse(Specific, values.get("specific", {}), "specific")

    @staticmethod
    def walk_of(values: Mapping[str, Any]) -> WalkOptions:
        """The settings of the inner loop in a recipe's tables."""
        rule, walk = dict(values.get("inner", {})), values.get("walk", {})
        if "inner" in walk:
            raise ConfigError("unknown key walk.inner", "a table [inner]", "Name the optimizer under [inner]")
        optimizer = parse(lookup(inner.RULES, rule.pop("name", "adam"), "inner optimizer"), rule, "inner")
        return parse(WalkOptions, {**walk, "inner": optimizer}, "walk")

    def tables(self) -> dict[str, Any]:
        """The recipe with every value spelt out, as `parse` takes it."""
        walk = _plain(self.walk)
        walk.pop("inner")
        tables = {
            "model": self.model,
            "strategy": strategies.describe(self.strategy),
            "specific": _plain(self.specific),
            "inner": {"name": _name(inner.RULES, self.walk.inner), **_plain(self.walk.inner)},
            "walk": walk,
            "train": _plain(self.train),
        }
        tables |= {"data": {"name": self.data}} if self.data else {}
        tables |= {"cluster": _plain(self.cluster)} if self.cluster != ClusterOptions() else {}
        return tables | (
            {"search": {key: said(what) for key, what in self.search.items()}} if self.search else {}
        )

    def trained(self) -> dict[str, Any]:
        """The tables that a run keeps: what was trained, without what was searched, and where."""
        return {name: table for name, table in self.tables().items() if name not in ("search", "cluster")}

    def check_data(self, data: Dataset) -> None:
        """Raise ConfigError when the recipe is for another data set."""
        if self.data and self.data != data.name:
            raise ConfigError(
                f"the recipe is for the data set {self.data!r}, the folder holds {data.name!r}",
                f"a folder built as {self.data!r}",
                "Give the right folder with --data, or --set data.name=",
            )


def _model(table: Mapping[str, Any]) -> dict[str, Any]:
    """A model's table, checked and spelt out; that of a module of the user's own as it is."""
    settings = dict(table)
    name = settings.pop("name")
    if name == "custom":
        return dict(table)
    own, features = models.apart(settings)
    spelt = {"name": name, **_plain(models.configure(name, own))}
    if features:
        spelt["features"] = _plain(parse(models.FeaturesConfig, features, "model.features"))
    return spelt


def override(values: dict[str, Any], text: str) -> None:
    """Set one value in a recipe's tables, in place.

    Args:
        text: `table.key=value` with the value as in TOML (a bare word is text); a number counts through a list of
            tables, from 0.

    Raises:
        ConfigError: another form, or a key within something that is no table.
    """
    path, equals, said = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise ConfigError(f"--set {text}", "table.key=value", "For example --set strategy.outer_lr=0.5")
    try:
        value = tomllib.loads(f"value = {said}")["value"]
    except tomllib.TOMLDecodeError:
        value = said.strip()
    table: Any = values
    for depth, key in enumerate(keys[:-1], start=2):
        if isinstance(table, list):
            table = table[int(key)] if key.isdecimal() and int(key) < len(table) else None
        else:
            table = table.setdefault(key, {})
        if not isinstance(table, dict) and not (isinstance(table, list) and depth < len(keys)):
            raise ConfigError(f"--set {text}: {key} is not a table", "table.key=value", "Correct the option")
    table[keys[-1]] = value


def _name(table: Mapping[str, type], value: object) -> str:
    return next(name for name, kind in table.items() if type(value) is kind)


def _plain(value: Any) -> dict[str, Any]:
    """A component's fields, without those that are None (TOML has no None: absent is the default)."""
    return {key: content for key, content in dataclasses.asdict(value).items() if content is not None}
