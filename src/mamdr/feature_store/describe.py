"""Figures of a feature store, for people and for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mamdr.feature_store.content import ENTITIES, features_of
from mamdr.feature_store.folder import open_updatable
from mamdr.feature_store.layers import Layers


def describe(folder: str | Path, *, redis: str | None = None) -> dict[str, Any]:
    """One JSON-able object: the snapshot that counts, what it holds, and what came since.

    snapshot, fingerprint (the data's), health; of the snapshot: users, items, domains, candidates (items, summed over
    domains), seen (items, summed over a domain's users), features by owner; varying: of how many users and items
    train's rows differed, so that the store has the last; updates: updated users and items, domains that are new, and
    entries of the log.
    """
    store = open_updatable(folder, redis=redis)
    health, layers = store.health(), store.layers
    content = layers.content
    return {
        "snapshot": store.version,
        "fingerprint": content.fingerprint,
        "health": {"state": health.state, "reason": health.reason},
        "data": content.facts["data"],
        **{f"{owner}s": len(content.keys[owner]) for owner in ENTITIES},
        "domains": len(content.domains),
        "candidates": len(content.items.values),
        "seen": len(content.seen.values),
        "features": {owner: features_of(content.schema, owner) for owner in ENTITIES},
        "varying": content.facts["varying"],
        "updates": _updates(layers) | ({} if health.reason else {"entries": store.pending}),
    }


def _updates(layers: Layers) -> dict[str, int]:
    return {f"{owner}s": len(layers.rows[owner].index) for owner in ENTITIES} | {
        "domains": len(layers.domains()) - len(layers.content.domains)
    }
