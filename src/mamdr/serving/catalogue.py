"""What serves at this moment: the pointer, the versions that it names, loaded, and the domains that came later.

A `Live` never changes; a new one takes its place in one assignment. A request takes the one there is when it begins and
keeps it to its end, so that no answer mixes versions, and what it stands on lives until the last such request is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mamdr.data.schema import Schema
from mamdr.errors import CheckpointError, ConfigError, MamdrError
from mamdr.feature_store import FeatureStore
from mamdr.registry import Joined, Pointer, Registry, Served, Version, load
from mamdr.registry.domain_version import load_joined
from mamdr.serving.merged import Merged
from mamdr.serving.scorer import Query, Scorer
from mamdr.serving.split import assigned


class UnknownDomainError(MamdrError):
    """No version and no newcomer has a domain of this name."""


class UnknownVersionError(MamdrError):
    """No version of this name serves."""


@dataclass(frozen=True, eq=False)
class Live:
    """What serves.

    Args:
        pointer: what the registry said.
        versions: by name, all that the pointer names.
        scorers: by the name of a base.
        newcomers: ids of domains that came after training.
    """

    pointer: Pointer = field(default_factory=Pointer)
    versions: Mapping[str, Version | Joined] = field(default_factory=dict)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    newcomers: frozenset[str] = frozenset()

    @property
    def schema(self) -> Schema | None:
        """Of the version that serves all domains."""
        version = self.versions.get(self.pointer.placement.serving or "")
        return base_of(version).schema if version else None

    def holds(self, domain: str) -> bool:
        """Whether a domain is known."""
        if domain in self.newcomers:
            return True
        version = self.versions.get(self.pointer.placement.of(domain) or "")
        return version is not None and (
            domain in base_of(version).numbers or (isinstance(version, Joined) and version.manifest["domain"] == domain)
        )  # fmt: skip

    def served(self, query: Query, version: str | None = None) -> tuple[Scorer, Served]:
        """What answers a query: by a version that is asked for, or by the split of traffic, or by the pointer.

        Raises:
            UnknownDomainError, UnknownVersionError.
            CheckpointError: no version serves yet.
        """
        if not self.versions:
            raise CheckpointError("no version serves yet", "one", "Promote one: `mamdr promote VERSION`")
        if not self.holds(query.domain):
            raise UnknownDomainError(
                f"no domain is named {query.domain[:80]!r}", "a domain of the version that serves", "See /v1/domains"
            )  # fmt: skip
        name = version or self._by_split(query)
        found = self.versions.get(name)
        if found is None:
            raise UnknownVersionError(
                f"version {name[:40]!r} does not serve", "one that serves", "See /v1/versions"
            )
        return self.scorers[base_of(found).name], found.served(query.domain)

    def _by_split(self, query: Query) -> str:
        split = self.pointer.splits.get(query.domain)
        if split is not None and assigned(query.domain, query.user, split.share):
            return split.version
        return str(self.pointer.placement.of(query.domain))


class Catalogue:
    """Loads what the registry points at.

    Args:
        registry: the registry.
        stores: feature storages; that of a version is the one made from its data.
        merged: the cache of merged parts.
    """

    def __init__(self, registry: Registry, stores: Sequence[FeatureStore], merged: Merged) -> None:
        self.registry, self.merged = registry, merged
        self.stores = {store.fingerprint: store for store in stores}

    def next(self, live: Live, newcomers: frozenset[str]) -> Live:
        """What should serve now; `live` itself when nothing has changed.

        Raises:
            CheckpointError, ConfigError: what the pointer names cannot be loaded; then `live` serves on.
        """
        pointer = self.registry.pointer()
        if pointer.generation == live.pointer.generation and newcomers == live.newcomers:
            return live
        versions: dict[str, Version | Joined] = {}
        scorers: dict[str, Scorer] = {}
        known = {base.name: base for base in map(base_of, live.versions.values())}
        for name in sorted(pointer.versions):
            version = live.versions.get(name) or self._load(name, known)
            versions[name], base = version, base_of(version)
            known[base.name] = base
            if base.name not in scorers:  # a module is bound once
                scorers[base.name] = live.scorers.get(base.name) or self._scorer(base)
        return Live(pointer, versions, scorers, newcomers)

    def _load(self, name: str, known: Mapping[str, Version]) -> Version | Joined:
        content = self.registry.manifest(name)
        base = content["base"] or name
        version = known.get(base) or load(self.registry, base, self._store(base).schema)
        return version if base == name else load_joined(self.registry, name, version)

    def _store(self, version: str) -> FeatureStore:
        fingerprint = self.registry.manifest(version)["data"]["fingerprint"]
        if fingerprint not in self.stores:
            raise ConfigError(
                f"{version} was trained on data of which no feature storage is open ({fingerprint[:12]})",
                f"one of {', '.join(sorted(f[:12] for f in self.stores))}",
                "Make a storage from the version's data, and name it with --features as well",
            )
        return self.stores[fingerprint]

    def _scorer(self, base: Version) -> Scorer:
        scorer = Scorer(base, self._store(base.name), self.merged)
        return scorer


def base_of(version: Version | Joined) -> Version:
    """The version of all domains that a version is, or stands on."""
    return version.base if isinstance(version, Joined) else version
