"""Figures of built data: what `mamdr data describe` shows, in the terms of the paper's Tables I to IV."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from mamdr.data.domains import SPLITS, Dataset, Schema
from mamdr.data.published import Published, published
from mamdr.data.schema import OWNERS


def describe(dataset: Dataset) -> dict[str, Any]:
    """One JSON-able object: the data set's totals and one entry a domain.

    Totals: users, items (distinct), samples, rows of each split, samples_per_domain. A domain: samples,
    percentage of all, positives, ctr_ratio (positives / negatives; None without negatives), users and items
    (None where the data do not say), rows of each split, duplicates dropped. A feature: name, owner, kind, and what
    its kind has: ids, shared (whose ids they are, or None), vectors (their width, or None), longest and mean_length (of
    train's lists); mean and deviation (those that were taken out of numbers, or None). What the paper prints is under
    "published": users, items, train, val, test, samples, samples_per_domain, domains and remarks, or None where the
    data set's name is none of its own.

    >>> rows = {"user_id": np.array([1, 2]), "item_id": np.array([3, 3]), "domain": np.array([0, 0]),
    ...         "label": np.array([1, 0])}
    >>> figures = describe(Dataset.from_arrays("tiny", ["a"], {"train": rows, "val": rows, "test": rows}))
    >>> figures["samples"], figures["domains"]["a"]["ctr_ratio"]
    (6, 1.0)
    """
    statistics, facts = dataset.manifest["statistics"], dataset.facts
    domains: dict[str, dict[str, Any]] = {}
    total = sum(sum(statistics[part]["rows"]) for part in SPLITS)
    for number, name in enumerate(dataset.schema.domains):
        rows = {part: statistics[part]["rows"][number] for part in SPLITS}
        positives = sum(statistics[part]["positives"][number] for part in SPLITS)
        samples = sum(rows.values())
        said = {
            fact: facts[fact][number] if fact in facts else None for fact in ("users", "items", "duplicates")
        }
        domains[name] = {
            "samples": samples,
            "percentage": 100 * samples / total if total else 0.0,
            **_ratio(positives, samples),
            **rows,
            **said,
        }
    return {
        "name": dataset.name,
        "seed": dataset.seed,
        "fingerprint": dataset.fingerprint,
        "options": dataset.options,
        "ids": dataset.schema.ids,
        "numeric": list(dataset.schema.numeric),
        "features": [_feature(dataset, name) for owner in OWNERS for name in _owned(dataset.schema, owner)],
        "samples": total,
        **_ratio(sum(sum(statistics[part]["positives"]) for part in SPLITS), total),
        **{part: sum(statistics[part]["rows"]) for part in SPLITS},
        **_totals(dataset),
        "samples_per_domain": total / len(domains) if domains else 0.0,
        "domains": domains,
        "published": _published(published(dataset.name)),
    }


def _published(paper: Published | None) -> dict[str, Any] | None:
    return {"samples": paper.samples, **asdict(paper)} if paper else None


def _owned(schema: Schema, owner: str) -> list[str]:
    """An owner's features, by kind."""
    kinds = ("category", "list", "number")
    return [
        n for kind in kinds for n in schema.features if (schema.owner(n), schema.kind(n)) == (owner, kind)
    ]


def _feature(dataset: Dataset, name: str) -> dict[str, Any]:
    schema = dataset.schema
    said: dict[str, Any] = {"name": name, "owner": schema.owner(name), "kind": schema.kind(name)}
    if name in schema.numeric:
        mean, deviation = schema.scales.get(name, (None, None))
        return said | {"mean": mean, "deviation": deviation}
    vectors = schema.vectors.get(schema.shared.get(name, name))
    said |= {
        "ids": schema.ids[name],
        "shared": schema.shared.get(name),
        "vectors": None if vectors is None else vectors.shape[1],
    }
    if name in schema.lists:
        lists = dataset.train.lists[name]
        mean = len(lists.values) / len(lists) if len(lists) else None
        said |= {"longest": schema.lists[name], "mean_length": mean}
    return said


def _ratio(positives: int, samples: int) -> dict[str, Any]:
    ratio = positives / (samples - positives) if samples > positives else None
    return {"positives": positives, "ctr_ratio": ratio}


def _totals(dataset: Dataset) -> dict[str, int]:
    """Users and items: as counted from the raw table, or else the ids in use."""
    said: dict[str, int] | None = dataset.options.get("totals")
    return said or {"users": _distinct(dataset, "user_id"), "items": _distinct(dataset, "item_id")}


def _distinct(dataset: Dataset, column: str) -> int:
    """Distinct ids of the three splits together."""
    parts = [np.unique(dataset.split(part).columns[column].numpy()) for part in SPLITS]
    return len(np.unique(np.concatenate(parts)))
