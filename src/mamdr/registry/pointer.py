"""Which version answers for which domain: one small file that is replaced whole, and pure functions on what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mamdr.errors import CheckpointError, ConfigError

FORMAT = 1
_KEPT = 50  # earlier placements that can be gone back to


@dataclass(frozen=True)
class Placement:
    """Which versions serve.

    Args:
        serving: answers for every domain that has no version of its own here; None before the first promote.
        domains: domain -> the version that answers for it.
    """

    serving: str | None = None
    domains: Mapping[str, str] = field(default_factory=dict)

    def of(self, domain: str) -> str | None:
        """The version that answers for a domain."""
        return self.domains.get(domain, self.serving)


@dataclass(frozen=True)
class Split:
    """A part of a domain's users who are answered by another version.

    Args:
        version: theirs.
        share: of the domain's users, in (0, 1].
    """

    version: str
    share: float


@dataclass(frozen=True)
class Pointer:
    """What the registry's pointer says.

    Args:
        placement: which versions serve.
        splits: domain -> the split of its traffic.
        history: earlier placements, oldest first.
        generation: how often it was changed.
    """

    placement: Placement = field(default_factory=Placement)
    splits: Mapping[str, Split] = field(default_factory=dict)
    history: tuple[Placement, ...] = ()
    generation: int = 0

    @property
    def versions(self) -> set[str]:
        """Those that a request may be answered by."""
        placed = {self.placement.serving, *self.placement.domains.values()} - {None}
        return {str(v) for v in placed} | {split.version for split in self.splits.values()}

    def promoted(self, version: str, held: frozenset[str], domain: str | None = None) -> Pointer:
        """The pointer after a version was promoted.

        Args:
            held: the domains that the version was trained on.
            domain: put it in charge of this domain alone; by default of all. Then domains that it holds lose the
                versions of their own, and those that came later keep them.
        """
        now = self.placement
        if domain is None:
            kept = {name: own for name, own in now.domains.items() if name not in held}
            return self._moved(Placement(version, kept))
        return self._moved(Placement(now.serving, {**now.domains, domain: version}))

    def rolled_back(self, domain: str | None = None) -> Pointer:
        """The pointer as it was before the last change; of a domain, with the version that served it before.

        Raises: CheckpointError when there is nothing to go back to.
        """
        if domain is None:
            if not self.history:
                raise _nothing("an earlier promote")
            return replace(
                self, placement=self.history[-1], history=self.history[:-1], generation=self.generation + 1
            )
        now = self.placement.of(domain)
        for before in reversed(self.history):
            if before.of(domain) not in (now, None):
                own = {**self.placement.domains, domain: str(before.of(domain))}
                return self._moved(Placement(self.placement.serving, own))
        if domain in self.placement.domains:  # its first version of its own: back to all others'
            own = {name: v for name, v in self.placement.domains.items() if name != domain}
            return self._moved(Placement(self.placement.serving, own))
        raise _nothing(f"an earlier version of {domain!r}")

    def split(self, domain: str, split: Split | None) -> Pointer:
        """The pointer with a domain's traffic split, or (None) whole again.

        Raises: ConfigError for a share out of range.
        """
        if split is not None and not 0 < split.share <= 1:
            raise ConfigError(f"share {split.share}", "above 0 and at most 1", "Correct the share")
        kept = {name: own for name, own in self.splits.items() if name != domain}
        return replace(self, splits=kept | ({domain: split} if split else {}), generation=self.generation + 1)

    def _moved(self, placement: Placement) -> Pointer:
        if placement == self.placement:
            return self
        history = (*self.history, self.placement)[-_KEPT:] if self.placement.serving else ()
        return replace(self, placement=placement, history=history, generation=self.generation + 1)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **_placement_out(self.placement),
            "splits": {name: [s.version, s.share] for name, s in self.splits.items()},
            "history": [_placement_out(before) for before in self.history],
            "generation": self.generation,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Pointer:
        """What `to_json` gave. Raises: KeyError, TypeError, ValueError for anything else."""
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']}")
        return cls(
            _placement_in(said),
            {name: Split(str(version), float(share)) for name, (version, share) in said["splits"].items()},
            tuple(_placement_in(before) for before in said["history"]),
            int(said["generation"]),
        )


def _nothing(expected: str) -> CheckpointError:
    return CheckpointError("there is nothing to go back to", expected, "Promote the version you want")


def _placement_out(placement: Placement) -> dict[str, Any]:
    return {"serving": placement.serving, "domains": dict(placement.domains)}


def _placement_in(said: Mapping[str, Any]) -> Placement:
    serving = said["serving"]
    return Placement(None if serving is None else str(serving), dict(said["domains"]))
