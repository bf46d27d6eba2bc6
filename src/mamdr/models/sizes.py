"""How large models are, without making them: what `mamdr models` shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mamdr.data.domains import Schema
from mamdr.models.features import apart, choose
from mamdr.models.registry import MODELS, build, configure

REFERENCE = Schema(tuple(f"domain-{number}" for number in range(10)), {"user_id": 10_000, "item_id": 5_000})
"""Ten domains, 10,000 users, 5,000 items."""


def size(name: str, schema: Schema = REFERENCE, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Parameters of a model by name, and its settings.

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
    longer = dataclasses.replace(schema, ids={column: count + 1 for column, count in schema.ids.items()})
    total, with_domain, with_ids = (_count(name, data, own) for data in (schema, more, longer))
    # Every table has got one id more; a model's tables are alike, so that a row counts the same in each.
    tables = {schema.shared.get(column, column): count for column, count in schema.ids.items()}
    per_id = (with_ids - total) // len(tables) if tables else 0
    embeddings, per_domain = per_id * sum(tables.values()), with_domain - total
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


def _count(name: str, schema: Schema, settings: Mapping[str, Any] | None) -> int:
    with torch.device("meta"):
        module: nn.Module = build(name, schema, settings)
    return sum(parameter.numel() for parameter in module.parameters())
