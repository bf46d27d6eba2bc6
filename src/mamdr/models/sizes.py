"""How large models are, without making them: what `mamdr models` shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mamdr.data.domains import Schema
from mamdr.models.features import Features, apart, choose
from mamdr.models.registry import MODELS, build, configure

REFERENCE = Schema(tuple(f"domain-{number}" for number in range(10)), {"user_id": 10_000, "item_id": 5_000})
"""Ten domains, 10,000 users, 5,000 items."""


def size(name: str, schema: Schema = REFERENCE, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Parameters that a model by name trains, and its settings.

    Returns: parameters (all), per_domain (those that one domain more would add), embeddings (those of id columns),
        network (the rest) and settings. parameters = embeddings + network + per_domain · domains.
    Raises: ConfigError as `build`.
    Cost: no memory; parameters are shapes without values.

    >>> sizes = size("mlp", settings={"embedding": 8, "hidden": [4]})
    >>> sizes["embeddings"], sizes["per_domain"], sizes["network"]
    (120000, 8, 105)
    """
    own, wanted = apart(settings or {})
    schema = choose(schema, wanted)
    more = dataclasses.replace(schema, domains=(*schema.domains, "one more"))
    total, with_domain = (_count(name, data, own) for data in (schema, more))
    embeddings, per_domain = 0, with_domain - total
    tables = {schema.shared.get(column, column): count for column, count in schema.ids.items()}
    # A model's tables are alike but for those whose vectors came with the data: a row counts the same in each.
    alike = [column for column in tables if column not in schema.vectors]
    for columns in filter(None, (alike, *([column] for column in tables if column in schema.vectors))):
        per_id = (_count(name, _longer(schema, columns), own) - total) // len(columns)
        embeddings += per_id * sum(tables[column] for column in columns)
    return {
        "parameters": total,
        "embeddings": embeddings,
        "network": total - embeddings - per_domain * len(schema.domains),
        "per_domain": per_domain,
        "settings": dataclasses.asdict(configure(name, own)),
    }


def sizes(schema: Schema = REFERENCE) -> dict[str, dict[str, Any]]:
    """`size` of every model at its defaults, by name."""
    return {name: size(name, schema) for name in MODELS}


def _longer(schema: Features, tables: list[str]) -> Features:
    """The schema with one id more in each of these tables."""
    ids = {name: n + (schema.shared.get(name, name) in tables) for name, n in schema.ids.items()}
    vectors = {
        name: torch.empty(len(rows) + (name in tables), rows.shape[1], device="meta")
        for name, rows in schema.vectors.items()
    }
    return dataclasses.replace(schema, ids=ids, vectors=vectors)


def _count(name: str, schema: Schema, settings: Mapping[str, Any] | None) -> int:
    with torch.device("meta"):
        module: nn.Module = build(name, schema, settings)
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
