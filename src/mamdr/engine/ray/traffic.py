"""What moved between a process and the shards."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass
class Traffic:
    """Counters.

    Args:
        pulls, pushes: calls to shards.
        rows_pulled, rows_pushed: table rows that came and went.
        bytes_pulled, bytes_pushed: values that came and went, and the ids that name their rows (8 bytes each).
        hits, misses: rows that were wanted and were in the cache, or were not.
    """

    pulls: int = 0
    pushes: int = 0
    rows_pulled: int = 0
    rows_pushed: int = 0
    bytes_pulled: int = 0
    bytes_pushed: int = 0
    hits: int = 0
    misses: int = 0

    def add(self, other: Traffic) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @property
    def hit_rate(self) -> float | None:
        """The share of wanted rows that were in the cache; None when none was wanted."""
        wanted = self.hits + self.misses
        return self.hits / wanted if wanted else None

    def to_json(self) -> dict[str, float | int | None]:
        return {**asdict(self), "hit_rate": self.hit_rate}
