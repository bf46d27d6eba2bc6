"""How a model uses the features that the data have: `[model.features]` of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from mamdr.config import component, nearest, parse
from mamdr.data.domains import Schema
from mamdr.errors import ConfigError, ModelError

Pooling = Literal["mean", "sum", "max"]
Use = Literal["frozen", "trained", "off"]


@component
class FeaturesConfig:
    """What a recipe can say of any model's features.

    Args:
        pooling: how the vectors of a list become one: their mean, sum or largest values; one word for all lists, or a
            word by feature. An empty list is zero.
        vectors: what becomes of the vectors that came with the data: "frozen" takes them as they are, "trained" starts
            from them, "off" learns embeddings instead; one word for all columns that have some, or a word by column.
        without: features that the model does not see.
    """

    pooling: Pooling | dict[str, Pooling] = "mean"
    vectors: Use | dict[str, Use] = "frozen"
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Features(Schema):
    """A schema, and how a model uses its features.

    Args:
        pooling: column of lists -> "mean", "sum" or "max"; one that is not named is pooled by "mean".
        trained: columns whose vectors are trained; others' are frozen.
    """

    pooling: dict[str, Pooling] = field(default_factory=dict)
    trained: tuple[str, ...] = ()

    @classmethod
    def of(cls, schema: Schema) -> Features:
        """A schema without choices, as every choice's default has it."""
        if isinstance(schema, Features):
            return schema
        return cls(**{part.name: getattr(schema, part.name) for part in dataclasses.fields(schema)})


def apart(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """A model's own settings, and those of its features.

    Raises: ConfigError for features that are no table.
    """
    own = dict(settings)
    features = own.pop("features", {})
    if not isinstance(features, Mapping):
        raise ConfigError(f"model.features = {features!r}", "a table [model.features]", "Correct the recipe")
    return own, features


def choose(schema: Schema, settings: Mapping[str, Any]) -> Features:
    """The features of a schema as a recipe's `[model.features]` wants them.

    Raises:
        ConfigError: an unknown key or word.
        ModelError: a feature that the data do not have, a pooling for one that is no list, a use of vectors for one
            that has none, or no feature left.

    >>> schema = Schema(("books",), {"user_id": 9, "item:tags": 5}, (), {"item:tags": 3})
    >>> choose(schema, {"pooling": "max", "without": ["user_id"]}).pooling
    {'item:tags': 'max'}
    """
    if not settings:
        return Features.of(schema)
    config = parse(FeaturesConfig, settings, "model.features")
    _check("without", config.without, schema.features)
    pooling = by_feature("pooling", config.pooling, schema.lists)
    use = by_feature("vectors", config.vectors, schema.vectors)
    if not set(schema.features) - set(config.without):
        raise ModelError(
            "model.features.without names every feature", "one left at least", "Take a name out of it"
        )
    ids = {name: size for name, size in schema.ids.items() if name not in config.without}
    numeric = tuple(name for name in schema.numeric if name not in config.without)
    lists = {name: length for name, length in schema.lists.items() if name in ids}
    return dataclasses.replace(
        Features.of(schema),
        ids=ids,
        numeric=numeric,
        lists=lists,
        vectors={name: rows for name, rows in schema.vectors.items() if use.get(name) != "off"},
        pooling={name: word for name, word in pooling.items() if name in ids},
        trained=tuple(name for name, word in use.items() if word == "trained"),
    )


T = TypeVar("T", bound=str)


def by_feature(key: str, said: T | Mapping[str, T], columns: Collection[str]) -> dict[str, T]:
    """A setting that is one word for all of these columns, or a word by column."""
    if isinstance(said, str):
        return dict.fromkeys(columns, said)
    _check(key, said, columns)
    return dict(said)


def _check(key: str, names: Iterable[str], columns: Collection[str]) -> None:
    for name in names:
        if name not in columns:
            raise ModelError(
                f"model.features.{key} names {name!r}",
                f"one of the data's columns {', '.join(columns) or '(there is none of this kind)'}",
                nearest(name, columns) if columns else "Take it out of the recipe",
            )
