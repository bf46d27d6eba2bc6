"""A newcomer joins a version: data, walks, gate, and a version of its own when it may serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from mamdr.engine import Session
from mamdr.feature_store import FeatureStore
from mamdr.parameters import Point
from mamdr.registry.domain_version import publish_domain
from mamdr.registry.newcomer_data import newcomer_data
from mamdr.registry.registry import Registry
from mamdr.registry.store import Grown
from mamdr.registry.version import Version
from mamdr.strategies import State
from mamdr.training.joining import Joining, JoinOptions, join, regularization
from mamdr.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Joined:
    """What came of it.

    Args:
        result: of the walks and the gate.
        counts: of its training rows.
        version: the domain's version; None where the gate did not let it serve.
    """

    result: Joining
    counts: dict[str, int]
    version: str | None

    @property
    def figures(self) -> dict[str, Any]:
        return {**self.result.figures, "share": self.result.share, "counts": self.counts}


def join_version(
    registry: Registry,
    base: Version,
    store: FeatureStore,
    domain: str,
    table: pl.DataFrame,
    options: JoinOptions,
    told: Callable[[int], None] | None = None,
) -> Joined:
    """Let a domain join a version; nothing is promoted.

    Args:
        store: of the base's data.
        table: its interactions, canonical.
        told: hears of each round.

    Raises: DataError for interactions that cannot be trained on.
    """
    helpers = registry.path(base.name) / "helpers"
    made = newcomer_data(base, store, helpers, table, domain, options)
    shared = base.state.shared
    assert isinstance(shared, Grown)
    state = State(
        Grown(made.space, shared.dense, shared.tables, shared.beyond), buffers=dict(base.state.buffers)
    )
    walk = Recipe.walk_of(base.manifest["recipe"])
    with Session(base.module, made.space, made.data, walk) as session:
        strategy = regularization(base.strategy)
        result = join(session, state, base.newcomer, strategy, options, told)
    version = None
    if result.live:
        part = Point(base.space.part, result.part.ids, result.part.flat)
        gate = {**result.figures, "counts": made.counts, "rounds": result.rounds}
        version = publish_domain(registry, base, domain, part, made.new, share=result.share, gate=gate)
    return Joined(result, made.counts, version)
