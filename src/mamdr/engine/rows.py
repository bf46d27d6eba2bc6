"""Which table rows a domain's data touch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mamdr.data.domains import DomainData
from mamdr.engine.look import looking
from mamdr.memory import Recent
from mamdr.parameters import Ids, Layout, Space

_WATCH_BATCH = 8192
_MANY = 64  # domains
_TENSOR = 256  # bytes of a tensor beside its values, about
REMEMBERED = 64 << 20
"""Bytes of domains' rows that are remembered; what is forgotten is found again."""

Counted = tuple[Tensor, Tensor]
"""Distinct ids, sorted, and how often each was met; int64."""


class Rows:
    """The rows of each domain, found when they are asked for and remembered as far as memory is set aside for them.

    For a table that id columns feed, they are the column's distinct ids. For ids that the module computes itself, the
    module is run once over the domain's rows (no gradients), and what reaches the embedding is noted.

    Args:
        module: the module, not bound to a point.
        space: its parameters.
        data: the rows.
    """

    def __init__(self, module: nn.Module, space: Space, data: DomainData) -> None:
        self.module, self.space, self.data = module, space, data
        self._own = Recent[int, Ids](REMEMBERED, _size)
        self._watched: dict[int, dict[int, Counted]] = {}
        self._sums: dict[tuple[int, int | None], Tensor] = {}
        self._union: tuple[frozenset[int], Ids] | None = None

    def of(self, domain: int) -> Ids:
        """A domain's rows."""
        known = self._own.get(domain)
        if known is None:
            watched = self._seen(domain)
            known = tuple(
                watched[t][0]
                if table.columns is None
                else _union(self.data.unique_ids(domain, c) for c in table.columns)
                for t, table in enumerate(self.space.tables)
            )
            self._own.put(domain, known)
        return known

    def samples(self, table: int) -> Tensor:
        """How often all domains look up each row of a table, [R_t]. Cost: a sort of each domain's values, once."""
        return self._summed(table, None, lambda counts, size: counts)

    def touches(self, table: int, batch_size: int) -> Tensor:
        """How many mini-batches of a pass, domain by domain, look up each row of a table, [R_t], about; 0 for what none
        looks up. Cost: as `samples`.

        Lookups are taken to fall into mini-batches one by one: a row that c of a domain's n rows look up is met by a
        mini-batch of b of them with 1 - (1 - b/n)^c. Of a domain of many mini-batches that comes to a row's samples;
        those that a small domain has of a row share theirs.
        """

        def met(counts: Tensor, size: int) -> Tensor:
            whole, rest = divmod(size, batch_size)
            in_whole, in_rest = (1 - (1 - min(1, rows / size)) ** counts for rows in (batch_size, rest))
            return whole * in_whole + in_rest

        return self._summed(table, batch_size, met)

    def _summed(self, table: int, key: int | None, each: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Over the domains, the sum of what `each` says of how often its rows look up a row, and how many there are."""
        if (table, key) not in self._sums:
            total = torch.zeros(self.space.tables[table].rows, dtype=torch.float64)
            for domain in range(len(self.data.offsets) - 1):
                if self.data.size(domain):
                    ids, counts = self._lookups(domain, table)
                    total.index_add_(0, ids, each(counts.double(), self.data.size(domain)))
            self._sums[table, key] = total.to(self.space.dtype)
        return self._sums[table, key]

    def _lookups(self, domain: int, table: int) -> Counted:
        """The rows of a table that a domain's rows look up, each once, and how often."""
        columns = self.space.tables[table].columns
        if columns is None:
            return self._seen(domain)[table]
        return _joined([self.data.id_counts(domain, column) for column in columns])

    def union(self, domains: Iterable[int]) -> Ids:
        """The rows of several domains. The last answer is remembered: Domain Negotiation asks for it each round."""
        wanted = frozenset(domains)
        if self._union is None or self._union[0] != wanted:
            few = len(wanted) < _MANY
            each = [self.of(domain) for domain in sorted(wanted)] if few else []
            whole = tuple(_union(ids) for ids in zip(*each, strict=True)) if each else self.space.no_ids()
            self._union = (wanted, whole if few else self._marked(wanted))
        return self._union[1]

    def unions(self, wanted: Sequence[Sequence[int]]) -> list[Ids]:
        """The rows of each of many small sets of domains. Cost: a sort of all of them together."""
        owner = np.repeat(np.arange(len(wanted)), [len(domains) for domains in wanted])
        each = [self.of(domain) for domains in wanted for domain in domains]
        keys = []
        for t, table in enumerate(self.space.tables):
            counts = [ids[t].numel() for ids in each]
            found = np.repeat(owner * table.rows, counts)
            if each:
                found += torch.cat([ids[t] for ids in each]).numpy()
            found.sort()
            keys.append(torch.from_numpy(found[np.append(True, found[1:] != found[:-1])[: len(found)]]))
        return list(Layout.of_keys(self.space, len(wanted), keys).ids)

    def _marked(self, domains: Iterable[int]) -> Ids:
        """The same for many domains: memory of a byte for each row of a table, whatever the number of ids."""
        marks = [torch.zeros(table.rows, dtype=torch.bool) for table in self.space.tables]
        for domain in domains:
            for mark, ids in zip(marks, self.of(domain), strict=True):
                mark[ids] = True
        return tuple(mark.nonzero().squeeze(1) for mark in marks)

    def _seen(self, domain: int) -> dict[int, Counted]:
        """What reaches the tables whose ids the module computes itself; found once, before the module is bound."""
        if all(table.columns is not None for table in self.space.tables):
            return {}
        if domain not in self._watched:
            self._watched[domain] = self._watch(domain)
        return self._watched[domain]

    def _watch(self, domain: int) -> dict[int, Counted]:
        seen: dict[int, list[Counted]] = {
            t: [] for t, table in enumerate(self.space.tables) if table.columns is None
        }
        handles = [
            self.module.get_submodule(owner).register_forward_pre_hook(_note(seen[t]), with_kwargs=True)
            for t in seen
            for owner in self.space.tables[t].owners
        ]
        try:
            with looking(self.module):
                self.module.eval()
                for batch, _ in self.data.batches([domain], _WATCH_BATCH, None):
                    self.module({name: column.to(self.space.device) for name, column in batch.items()})
        finally:
            for handle in handles:
                handle.remove()
        return {t: _joined(calls) for t, calls in seen.items()}


def _size(ids: Ids) -> int:
    return sum(rows.nbytes + _TENSOR for rows in ids)


def _note(seen: list[Counted]) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids: Tensor = args[0] if args else kwargs["input"]
        seen.append(torch.unique(ids.long().cpu(), return_counts=True))

    return hook


def _joined(counted: Sequence[Counted]) -> Counted:
    """Several as one."""
    if len(counted) == 1:
        return counted[0]
    if not counted:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    ids, where = torch.unique(torch.cat([ids for ids, _ in counted]), return_inverse=True)
    return ids, torch.zeros_like(ids).index_add_(0, where, torch.cat([counts for _, counts in counted]))


def _union(parts: Iterable[Tensor]) -> Tensor:
    found = list(parts)
    if not found:
        return torch.empty(0, dtype=torch.int64)
    return found[0] if len(found) == 1 else torch.unique(torch.cat(found))
