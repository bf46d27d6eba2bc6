"""One split of the data: each domain's rows together, so that a pass is one permutation and slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch

from mamdr.data.ragged import Array, Lists, Ragged
from mamdr.errors import ConfigError
from mamdr.seeds import first_draws

Batch = dict[str, torch.Tensor]
"""Column -> int64 [B] (ids), int64 [B, L] (lists of ids, padded with 0) or float32 [B] (numeric features); always with
"domain", int64 [B]."""

_SPAN = 1 << 16  # rows gathered at once: their copies stay in the cache


class DomainData:
    """One split: the rows of a domain lie together, so a pass over a domain is one permutation and slices.

    Args:
        columns: name -> int32 [N] ids or float32 [N] numbers.
        labels: float32 [N], 0 or 1.
        offsets: int64 [D + 1]; domain d is rows offsets[d]:offsets[d + 1].
        lists: name -> N lists of int32 ids.

    >>> rows = DomainData({"item_id": torch.tensor([4, 2, 2], dtype=torch.int32)},
    ...                   torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 2, 3]))
    >>> len(rows), rows.size(0), rows.unique_ids(0, "item_id").tolist()
    (3, 2, [2, 4])
    >>> [(batch["item_id"].tolist(), labels.tolist()) for batch, labels in rows.batches([1], 8, None)]
    [([2], [1.0])]
    """

    def __init__(
        self,
        columns: dict[str, torch.Tensor],
        labels: torch.Tensor,
        offsets: torch.Tensor,
        lists: Mapping[str, Ragged] | None = None,
    ) -> None:
        self.columns, self.labels, self.offsets = columns, labels, offsets
        self.lists = dict(lists or {})
        self._lists = {name: Lists(column) for name, column in self.lists.items()}
        self._bounds: list[int] = offsets.tolist()

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def size(self, domain: int) -> int:
        """Rows of a domain."""
        return self._bounds[domain + 1] - self._bounds[domain]

    def unique_ids(self, domain: int, column: str) -> torch.Tensor:
        """The ids of a column that a domain's rows hold, int64, sorted.

        Padding is among those of a column of lists. Cost: a sort of the domain's values (`engine.rows` remembers).
        """
        if column == "domain":
            return torch.tensor([domain] if self.size(domain) else [], dtype=torch.int64)
        begin, end = self._bounds[domain], self._bounds[domain + 1]
        if column in self._lists:
            return self._lists[column].unique(begin, end)
        ids: torch.Tensor = torch.unique(self.columns[column][begin:end], sorted=True).to(torch.int64)
        return ids

    def id_counts(self, domain: int, column: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids of a column that a domain's rows hold, padding aside, and how often, int64, sorted by id.

        Cost: a sort of the domain's values.
        """
        if column == "domain":
            return self.unique_ids(domain, column), torch.tensor([self.size(domain)][: self.size(domain)])
        begin, end = self._bounds[domain], self._bounds[domain + 1]
        held = (
            self._lists[column].held(begin, end) if column in self._lists else self.columns[column][begin:end]
        )
        ids, counts = torch.unique(held, sorted=True, return_counts=True)
        return ids.to(torch.int64), counts

    def batches(
        self, domains: Sequence[int], batch_size: int, generator: np.random.Generator | None
    ) -> Iterator[tuple[Batch, torch.Tensor]]:
        """One pass over the rows of these domains together, each row once.

        Args:
            domains: usually one.
            batch_size: rows of a batch, >= 1; the last one may be shorter.
            generator: draws the order (one number is taken from it); None keeps the stored order.

        Yields: batch and labels, float32 [B]. For a single domain the "domain" column is one value expanded (stride 0),
        so that a model can see that it is constant. Cost: one permutation a pass, one gather a row and column, and
        10 to 20 µs a batch of 1024; for a column of lists, see `Lists.padded`.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size {batch_size}", "1 or more", "Give a larger batch_size")
        names = [*self.columns, *self._lists, "domain"]
        span = max(1, _SPAN // batch_size) * batch_size
        for rows, domain in self._pass(domains, span, generator):
            parts = self._gather(rows, domain, batch_size)
            for *inputs, labels in zip(*parts, strict=True):
                yield dict(zip(names, inputs, strict=True)), labels

    def order_of(self, domain: int, generator: np.random.Generator) -> torch.Tensor:
        """The stored rows of a domain in the order in which `batches` would take them, int64."""
        size, start = self.size(domain), self._bounds[domain]
        order = _permutation(size, generator)
        return torch.arange(size) + start if order is None else order.long() + start

    def orders_of(self, domains: Sequence[int], seeds: Sequence[int], most: Sequence[int]) -> torch.Tensor:
        """Of each domain, one after another, the first `most` rows of `order_of` with a generator of this seed."""
        source, orders = torch.Generator(), []
        for domain, first, count in zip(domains, first_draws(seeds), most, strict=True):
            order = _shuffled(self.size(domain), source.manual_seed(first))
            orders.append(order if count >= order.shape[0] else order[:count])
        starts = torch.tensor([self._bounds[domain] for domain in domains], dtype=torch.int64)
        lengths = torch.tensor([order.shape[0] for order in orders], dtype=torch.int64)
        shifts = torch.repeat_interleave(starts, lengths)
        return torch.cat(orders).long() + shifts if orders else shifts

    def take(self, rows: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        """The columns that are not lists, and the labels, at stored rows [...], in their shape; no "domain"."""
        flat = rows.reshape(-1)
        gathered = {
            name: column.index_select(0, flat).view(rows.shape) for name, column in self.columns.items()
        }
        inputs = {n: c if c.is_floating_point() else c.to(torch.int64) for n, c in gathered.items()}
        return inputs, self.labels.index_select(0, flat).view(rows.shape)

    def support_and_query(
        self, domain: int, share: float, split: int, batch_size: int, generator: np.random.Generator
    ) -> Iterator[tuple[Batch, torch.Tensor, int]]:
        """One pass over a domain's rows in mini-batches of two parts; a row is always in the same one.

        Args:
            domain: with one row at least.
            share: of the domain's rows that are support; the rest is query. Each gets one row at least; the only row
                of a domain is both.
            split: seed of which rows they are.
            batch_size: rows of both parts together, >= 1.
            generator: draws the order (two numbers are taken from it).

        Yields: batch, labels, and how many of their rows, the first ones, are support. Both parts have their share of
        every mini-batch (a row more or less), so that both are passed over once, in as many mini-batches as batch_size
        makes, or as the smaller part has rows if those are fewer. Cost: three permutations and a gather.
        """
        size = self.size(domain)
        if batch_size < 1 or size < 1:
            found = f"batch_size {batch_size} for {size} rows"
            raise ConfigError(found, "1 or more of both", "Give a larger batch_size, or another domain")
        shuffled = torch.randperm(size, generator=torch.Generator().manual_seed(split))
        cut = min(max(round(share * size), 1), max(size - 1, 1))
        parts = shuffled[:cut], shuffled[cut:] if size > 1 else shuffled
        steps = min(-(-size // batch_size), *map(len, parts))
        orders = [_permutation(len(part), generator) for part in parts]
        drawn = [part if o is None else part[o.long()] for part, o in zip(parts, orders, strict=True)]
        names, here = [*self.columns, *self._lists, "domain"], torch.tensor([domain])
        for support, query in zip(*(part.tensor_split(steps) for part in drawn), strict=True):
            rows = torch.cat([support, query]) + self._bounds[domain]
            for *inputs, labels in zip(*self._gather(rows, here.expand(len(rows)), len(rows)), strict=True):
                yield dict(zip(names, inputs, strict=True)), labels, len(support)

    def _pass(
        self, domains: Sequence[int], span: int, generator: np.random.Generator | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The stored rows of a pass and their domains, `span` at a time."""
        chosen = torch.as_tensor(list(domains), dtype=torch.int64)
        sizes = self.offsets[chosen + 1] - self.offsets[chosen]
        total = int(sizes.sum())
        order = _permutation(total, generator)
        # A position of the pass belongs to domain number `owner`; `shift` leads from it to the stored row.
        shift = self.offsets[chosen] - (sizes.cumsum(0) - sizes)
        one = len(chosen) == 1
        owner = None if one else torch.repeat_interleave(torch.arange(len(chosen), dtype=torch.int32), sizes)
        for start in range(0, total, span):
            stop = min(start + span, total)
            picked = torch.arange(start, stop) if order is None else order[start:stop]
            if owner is None:
                yield picked + shift, chosen.expand(stop - start)  # stride 0: one value for the whole pass
            else:
                which = owner.index_select(0, picked)
                yield picked + shift.index_select(0, which), chosen.index_select(0, which)

    def _gather(
        self, rows: torch.Tensor, domain: torch.Tensor, batch_size: int
    ) -> list[Iterable[torch.Tensor]]:
        """The columns, lists, domain and labels at these rows, batch by batch, in the order a batch is made of."""
        last = [column.unsafe_split(batch_size) for column in (domain, self.labels.index_select(0, rows))]
        return [*read(self.columns, self._lists, rows, batch_size), *last]


def read(
    columns: Mapping[str, torch.Tensor], lists: Mapping[str, Lists], rows: torch.Tensor, batch_size: int
) -> list[Iterable[torch.Tensor]]:
    """Columns, then lists, at these rows [B], as batches have them; training and serving read through here.

    Args:
        columns: name -> int32 [N] ids or float32 [N] numbers.
        lists: name -> N lists of ids.
        rows: int64, in [0, N).
        batch_size: rows of a batch; the lists of each are padded to its longest.
    """
    if len(rows) <= batch_size:
        arrays = {name: column.numpy() for name, column in columns.items()}
        return [(column,) for column in read_one(arrays, lists, rows.numpy()).values()]
    gathered = [column.index_select(0, rows) for column in columns.values()]
    inputs = [column if column.is_floating_point() else column.to(torch.int64) for column in gathered]
    whole = [column.unsafe_split(batch_size) for column in inputs]
    return [*whole, *(map(column.padded, rows.unsafe_split(batch_size)) for column in lists.values())]


def read_one(columns: Mapping[str, Array], lists: Mapping[str, Lists], rows: Array) -> Batch:
    """Rows as one batch, but for its domain. Cost: 1 µs a column; PyTorch needs five times as long for few rows."""
    found = {}
    for name, column in columns.items():
        values = column[rows]
        found[name] = torch.from_numpy(values if values.dtype == np.float32 else values.astype(np.int64))
    for name, listed in lists.items():
        found[name] = listed.padded(torch.from_numpy(rows))
    return found


def _permutation(total: int, generator: np.random.Generator | None) -> torch.Tensor | None:
    """A random order of `total` positions, int32 where that is enough; None for the stored order."""
    if generator is None or not total:
        return None
    return _shuffled(total, torch.Generator().manual_seed(int(generator.integers(1 << 63))))


def _shuffled(total: int, source: torch.Generator) -> torch.Tensor:
    return torch.randperm(total, generator=source, dtype=torch.int32 if total < 1 << 31 else torch.int64)
