"""What walks will meet, drawn before they are walked: for walks in lock-step, which have to know it of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mamdr.engine.session import Session
from mamdr.parameters import Ids
from mamdr.seeds import derive
from mamdr.strategies.protocol import Leg, Walk


@dataclass(frozen=True)
class Course:
    """A walk and what it will meet.

    Args:
        ids: the table rows that its domains touch.
        rows: stored rows of its mini-batches, in the order in which `engine.walk` takes them.
        counts: rows of each mini-batch.
        domains: of each mini-batch.
    """

    walk: Walk
    ids: Ids
    rows: Tensor
    counts: list[int]
    domains: list[int]

    @classmethod
    def of(cls, session: Session, walks: Sequence[Walk], ids: Sequence[Ids] | None = None) -> list[Course]:
        """Draw walks' mini-batches, in the order in which `engine.walk` takes them.

        Args:
            ids: known before; found by default.
        """
        if ids is None:
            ids = session.rows.unions([domains_of(walk) for walk in walks])
        train, size = session.data.train, session.options.batch_size
        legs = [
            [
                (leg.domains[0], derive(walk.seed, "batches", number), total)
                for number, leg in enumerate(walk.legs)
                if (total := _rows_of(leg, train.size(leg.domains[0]), size))
            ]
            for walk in walks
        ]
        known, seeds, totals = ([leg[part] for each in legs for leg in each] for part in range(3))
        rows = train.orders_of(known, seeds, totals)
        pieces = rows.split_with_sizes([sum(total for *_, total in each) for each in legs])
        return [
            cls(walk, own, piece, *_mini_batches(each, size))
            for walk, own, piece, each in zip(walks, ids, pieces, legs, strict=True)
        ]

    @property
    def longest(self) -> int:
        """Rows of the largest mini-batch."""
        return max(self.counts, default=0)


def domains_of(walk: Walk) -> list[int]:
    """A walk's domains, each once."""
    return list(dict.fromkeys(domain for leg in walk.legs for domain in leg.domains))


def _rows_of(leg: Leg, size: int, batch_size: int) -> int:
    return size if leg.steps is None else min(size, leg.steps * batch_size)


def _mini_batches(legs: Sequence[tuple[int, int, int]], size: int) -> tuple[list[int], list[int]]:
    """Rows and domain of each mini-batch of legs of (domain, seed, rows)."""
    counts, domains = list[int](), list[int]()
    for domain, _, total in legs:
        steps = -(-total // size)
        counts += [size] * (steps - 1) + [total - size * (steps - 1)]
        domains += [domain] * steps
    return counts, domains


class Batches:
    """Which stored rows each walk's mini-batches have."""

    def __init__(self, courses: Sequence[Course]) -> None:
        self._rows = torch.cat([course.rows for course in courses])
        counts = [torch.tensor(course.counts, dtype=torch.int64) for course in courses]
        self._counts = torch.nn.utils.rnn.pad_sequence(counts, batch_first=True)
        self._begins = (self._counts.view(-1).cumsum(0) - self._counts.view(-1)).view(self._counts.shape)

    def at(self, step: int, live: int) -> tuple[Tensor, Tensor]:
        """Stored rows [live, B] of the first walks' mini-batches of this number, and how many each has [live]; a
        shorter one is filled up with its first row."""
        counts, begins = self._counts[:live, step], self._begins[:live, step]
        place = torch.arange(int(counts.max())).expand(live, -1)
        return self._rows[begins.unsqueeze(1) + torch.where(place < counts.unsqueeze(1), place, 0)], counts
