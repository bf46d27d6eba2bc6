"""What `mamdr domain add` does: a domain joins a registry's version, or a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from mamdr.data.interactions import Columns, canonical, concatenate
from mamdr.data.readers import table
from mamdr.errors import CheckpointError, ConfigError
from mamdr.feature_store import open_store
from mamdr.registry.join import Joined, join_version
from mamdr.registry.newcomers import Newcomers, Status, check_id
from mamdr.registry.publish import publish
from mamdr.registry.registry import Registry
from mamdr.registry.version import load
from mamdr.training.folder import read_info
from mamdr.training.joining import JoinOptions


def add_domain(
    place: Path,
    domain: str,
    rows: pl.DataFrame,
    options: JoinOptions,
    *,
    features: Path | None = None,
    told: Callable[[int], None] | None = None,
) -> Joined:
    """Let a domain join what serves in a registry, or a run's best round; promote it if the gate lets it.

    Args:
        place: a registry, or a run, which then has a registry of its own beneath it.
        domain: its id; none that the version was trained on.
        rows: its interactions: user_id, item_id, and label or features where there are some.
        features: the feature storage or the data folder; by default the run's data.

    Raises: ConfigError for a domain that the version knows, or no features; DataError for rows that cannot be used.
    """
    check_id(domain, "domain")
    registry, features = _registry(place, features)
    store = open_store(features)
    try:
        serving = registry.pointer().placement.serving
        if serving is None:
            raise CheckpointError("no version serves yet", "one", "Promote one: `mamdr promote VERSION`")
        base = load(registry, serving, store.schema)
        if domain in base.numbers:
            raise ConfigError(
                f"{serving} was trained on a domain of the name {domain!r}",
                "a new name",
                "Give another --name",
            )
        text = rows.with_columns(pl.col("user_id", "item_id").cast(pl.String), domain=pl.lit(domain))
        newcomer = Newcomers(registry).put(domain)
        newcomer.add(text)
        joined = join_version(registry, base, store, domain, newcomer.rows(), options, told)
        if joined.version:
            registry.promote(joined.version)
        newcomer.tell(
            Status(
                "live" if joined.version else "rejected", len(newcomer.deliveries()), joined.result.rounds,
                options.rounds, joined.figures, joined.version, joined.result.reason,
            )
        )  # fmt: skip
        return joined
    finally:
        store.close()


def read_interactions(files: Sequence[Path], domain: str, columns: Columns) -> pl.DataFrame:
    """The canonical table of some files, all of whose rows are of one domain.

    Args:
        columns: what the columns are called; that of the domain is not looked at.
    """
    named = replace(columns, domain="domain")
    frames = [table.read_file(file).with_columns(domain=pl.lit(domain)) for file in files]
    tables = [canonical(frame, file.name, named) for frame, file in zip(frames, files, strict=True)]
    return concatenate(tables, [file.name for file in files])


def _registry(place: Path, features: Path | None) -> tuple[Registry, Path]:
    """The registry of a place, and its features."""
    if not (place / "run.json").is_file():
        if features is None:
            raise ConfigError(
                f"no features for {place}", "a feature storage or the data folder", "Name it with --features"
            )
        return Registry.open(place), features
    registry = Registry(place / "registry")
    data = features or Path(read_info(place)["data"]["folder"])
    if registry.pointer().placement.serving is None:
        registry.promote(publish(place, registry))
    return registry, data
