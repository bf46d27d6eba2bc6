"""The domains that are known, as a table that can be filtered, sorted and paged: seventy thousand as well as seven."""

from __future__ import annotations

import json
from typing import Any, Literal

import polars as pl

from mamdr.registry import Registry
from mamdr.registry.newcomers import Newcomers, Status
from mamdr.serving.catalogue import Live, base_of

Sort = Literal["domain", "name", "phase", "version", "rows", "positives", "users", "items", "auc"]
_COUNTS = ("rows", "positives", "users", "items")
_SCHEMA = {
    "domain": pl.String, "name": pl.String, "phase": pl.String, "version": pl.String,
    **dict.fromkeys(_COUNTS, pl.Int64), "auc": pl.Float64,
}  # fmt: skip


class Directory:
    """What is known of domains.

    Args:
        registry: where versions and newcomers are.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry, self.newcomers = registry, Newcomers(registry)
        self._base: tuple[str, pl.DataFrame] | None = None

    def page(
        self, live: Live, *, offset: int, limit: int, sort: Sort, descending: bool, search: str
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many domains there are whose id or name has `search` in it, and some of them, nulls last.

        Cost: a pass over all domains; the newest base's figures are read once.
        """
        table = self.table(live)
        if search:
            wanted = search.lower()
            table = table.filter(
                pl.col("domain").str.to_lowercase().str.contains(wanted, literal=True)
                | pl.col("name").str.to_lowercase().str.contains(wanted, literal=True)
            )
        ordered = table.sort([sort, "domain"], descending=[descending, False], nulls_last=True)
        return len(table), [self._split(live, row) for row in ordered[offset : offset + limit].to_dicts()]

    def one(self, live: Live, domain: str) -> dict[str, Any] | None:
        """What is known of a domain; None for one that is not known."""
        found = self.table(live).filter(pl.col("domain") == domain).to_dicts()
        return self._split(live, found[0]) if found else None

    def table(self, live: Live) -> pl.DataFrame:
        """All domains."""
        base = self._of_base(live)
        fresh = [self._newcomer(live, n.domain, n.title, n.status()) for n in self.newcomers.all()]
        titles = {row["domain"]: row["name"] for row in fresh}
        late = pl.DataFrame([row for row in fresh if row["phase"] != "trained"], schema=_SCHEMA)
        if titles:
            given = pl.DataFrame({"domain": list(titles), "title": list(titles.values())})
            base = base.join(given, on="domain", how="left")
            base = base.with_columns(name=pl.coalesce("title", "name")).drop("title")
        placed = live.pointer.placement.domains
        if placed:
            own = pl.DataFrame({"domain": list(placed), "own": list(placed.values())})
            base = base.join(own, on="domain", how="left")
            base = base.with_columns(version=pl.coalesce("own", "version")).drop("own")
        return pl.concat([base.select(list(_SCHEMA)), late])

    def _of_base(self, live: Live) -> pl.DataFrame:
        """The domains of the version that serves all."""
        serving = live.pointer.placement.serving
        if serving is None or serving not in live.versions:
            return pl.DataFrame(schema=_SCHEMA)
        if self._base is None or self._base[0] != serving:
            version = base_of(live.versions[serving])
            folder = self.registry.path(version.name)
            counts = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
            metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            aucs = metrics.get("val", {}).get("domains", {})
            names = list(version.numbers)
            rows = {
                "domain": names,
                "name": names,
                "phase": ["trained"] * len(names),
                "version": [serving] * len(names),
                **{key: counts[key] for key in _COUNTS},
                "auc": [aucs.get(name, {}).get("auc") for name in names],
            }
            self._base = serving, pl.DataFrame(rows, schema=_SCHEMA)
        return self._base[1]

    def _newcomer(self, live: Live, domain: str, title: str, status: Status) -> dict[str, Any]:
        serving = live.versions.get(live.pointer.placement.serving or "")
        trained = serving is not None and domain in base_of(serving).numbers
        counts = status.figures.get("counts", {})
        auc = status.figures.get("val", {}).get("own" if status.phase == "live" else "shared")
        return {
            "domain": domain,
            "name": title,
            "phase": "trained" if trained else status.phase,
            "version": live.pointer.placement.of(domain),
            **{key: counts.get(key) for key in _COUNTS},
            "auc": auc,
        }

    @staticmethod
    def _split(live: Live, row: dict[str, Any]) -> dict[str, Any]:
        split = live.pointer.splits.get(row["domain"])
        said = {"version": split.version, "share": split.share} if split else None
        return {**row, "split": said}
