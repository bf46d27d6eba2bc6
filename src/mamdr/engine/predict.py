"""Scores rows with the parameters of a store: what evaluation and serving do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from mamdr.data.domains import DomainData
from mamdr.engine.binding import RowMiss
from mamdr.engine.rows import Rows
from mamdr.engine.session import Session
from mamdr.parameters import Ids, Overlay, Point, Store
from mamdr.parameters.point import positions
from mamdr.parameters.store import layers

_BATCH = 8192
_SAME = 1e-4
"""Probabilities that differ by less differ by the order of summation."""


def mean_score(scores: Sequence[Tensor]) -> Tensor:
    """The click probabilities [n] of a domain that several stores serve; of one its own bits.

    >>> mean_score([torch.tensor([0.25]), torch.tensor([0.75])])
    tensor([0.5000])
    """
    return scores[0] if len(scores) == 1 else torch.stack([*scores]).mean(0)


class Predictor:
    """Scores a split's rows, domain by domain or many domains at once.

    Args:
        session: the bound module.
        data: the split.
        buffers: values of the module's buffers (running statistics).
    """

    def __init__(self, session: Session, data: DomainData, buffers: dict[str, Tensor]) -> None:
        self.session, self.data, self.buffers = session, data, buffers
        self._rows = Rows(session.module, session.space, data)
        self._foreseen = all(table.columns is not None for table in session.space.tables)
        self._mixes: bool | None = None

    def __call__(self, store: Store, domain: int) -> Tensor:
        """Click probabilities [n] of a domain's rows, in their stored order, float32.

        Cost: a pull of the rows that the domain's data touch, and one forward pass.
        """
        self._begin()
        self._load(store, self._known(domain))
        return self._scores([domain], store)

    def many(
        self, served: Callable[[int], Sequence[Store]], domains: Iterable[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Each domain and its rows' click probabilities.

        Domains that lie together in the data, 8,192 rows at a time, are pulled at once. Those that are served by the
        same parameters go through the module together, which changes a probability by no more than a product's order
        of summation does; those with parts of their own one by one, each laid over what was pulled for all. A module
        that scores a row otherwise beside rows of another domain (it reads the domain of a batch's first row, say) is
        found out at the first such batch, and scores domain by domain.

        Args:
            served: the stores that serve a domain; of several the mean of their probabilities counts.

        Cost: a pull for each 8,192 rows; a forward pass for them, and for each domain with a part of its own. A domain
        with several stores costs each of them a pull and a forward pass.
        """
        begins = self.data.offsets
        for _, together in groupby(domains, key=lambda domain: int(begins[domain]) // _BATCH):
            group = list(together)
            stores = {domain: served(domain) for domain in group}
            under = {domain: layers(store) for domain, (store, *more) in stores.items() if not more}
            bases = [base for base, _ in under.values()]
            scores: dict[int, Tensor] = {}
            if self._foreseen and len(bases) > 1 and all(base is bases[0] for base in bases):
                scores = self._together(bases[0], {d: over for d, (_, over) in under.items()})
            for domain in group:
                if domain not in scores:
                    scores[domain] = mean_score([self(store, domain) for store in stores[domain]])
            yield from ((domain, scores[domain]) for domain in group)

    def _together(self, base: Store, over: dict[int, list[Overlay]]) -> dict[int, Tensor]:
        """The scores of domains whose stores are overlays, or none, over the same store."""
        self._begin()
        ids = self._rows.union(over)
        take = self.session.arena.take
        pulled = base.pull(ids, functools.partial(take, "base"))
        work = Point(pulled.space, ids, take("work", len(pulled.flat)).copy_(pulled.flat))
        self.session.binding.load(work)
        plain = [domain for domain, own in over.items() if not own and self.data.size(domain)]
        scores = self._mixed(plain) if plain else {}
        for domain, own in over.items():
            if domain not in scores:
                self._lay_over(pulled, work, own, self._rows.of(domain))
                scores[domain] = self._scores([domain])
        return scores

    def _mixed(self, domains: Sequence[int]) -> dict[int, Tensor]:
        """The scores of domains that are served by the point that is loaded."""
        if self._mixes is not False:
            sizes = [self.data.size(domain) for domain in domains]
            scores = dict(zip(domains, torch.split(self._scores(domains), sizes), strict=True))
            if self._mixes is None and len(domains) > 1:
                last = domains[-1]
                self._mixes = torch.allclose(scores[last], self._scores([last]), rtol=0, atol=_SAME)
            if self._mixes is not False:
                return scores
        return {domain: self._scores([domain]) for domain in domains}

    def _lay_over(self, pulled: Point, work: Point, own: Sequence[Overlay], ids: Ids) -> None:
        """Let `work` hold what was pulled, and a domain's own parts over it, in the dense part and at its rows."""
        places = tuple(positions(held, rows)[0] for held, rows in zip(work.ids, ids, strict=True))
        work.dense.copy_(pulled.dense)
        for t, place in enumerate(places):
            place = place.to(work.flat.device)
            work.rows(t).index_copy_(0, place, pulled.rows(t).index_select(0, place))
        for overlay in own:
            overlay.lay_on(work, ids, places)

    def _scores(self, domains: Sequence[int], store: Store | None = None) -> Tensor:
        """Scores of these domains' rows by the point that is loaded; rows that it lacks come from `store`."""
        session, scores = self.session, []
        with torch.no_grad():
            for batch, labels in self.data.batches(domains, _BATCH, None):
                session.matmul.use(len(labels) == _BATCH)
                batch = {name: column.to(session.space.device) for name, column in batch.items()}
                logits = session.module(batch) if store is None else self._forward(store, batch)
                scores.append(torch.sigmoid(logits).float().cpu())
        return torch.cat(scores) if scores else torch.empty(0)

    def _begin(self) -> None:
        self.session.module.eval()
        self.session.buffers.load(self.buffers)

    def _known(self, domain: int) -> Ids:
        """The rows known beforehand; ids that the module computes itself are pulled when they come."""
        return self._rows.of(domain) if self._foreseen else self.session.rows.of(domain)

    def _load(self, store: Store, ids: Ids) -> None:
        self.session.binding.load(store.pull(ids, functools.partial(self.session.arena.take, "work")))

    def _forward(self, store: Store, batch: dict[str, Tensor]) -> Tensor:
        while True:
            try:
                logits: Tensor = self.session.module(batch)
                return logits
            except RowMiss as miss:
                self._load(store, miss.added_to(self.session.binding.point.ids))
