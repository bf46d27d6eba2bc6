"""Stores own parameters: points are pulled from them, displacements pushed to them."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from mamdr.parameters.elsewhere import Elsewhere
from mamdr.parameters.moments import Moments
from mamdr.parameters.outer import Outer
from mamdr.parameters.parts import fade, lay_over, pushed
from mamdr.parameters.point import Allocate, Point, positions, same_ids
from mamdr.parameters.space import Ids, Space


class Store(Protocol):
    """Whatever owns parameters.

    A pull copies: what is done to the point does not change the store. A push adds `rate * displacement`. Rows are
    named by ids that are sorted and without repeats.
    """

    @property
    def space(self) -> Space: ...

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """A copy of the dense part and of these rows."""
        ...

    def push(self, displacement: Point, rate: float) -> None:
        """Add `rate * displacement`."""
        ...


class LocalStore:
    """Parameters in this process's memory: one dense vector [P] and the whole tables [R_t, d_t].

    Args:
        space: what the values mean.
        dense: [P].
        tables: one tensor [R_t, d_t] per table, changed in place by pushes.
    """

    def __init__(self, space: Space, dense: Tensor, tables: list[Tensor]) -> None:
        self.space, self.dense, self.tables = space, dense, tables

    @classmethod
    def of(cls, module: nn.Module, space: Space) -> LocalStore:
        """The module's present values. The tables are the module's own memory, not copies: one copy of ten million
        rows is enough."""
        parameters = dict(module.named_parameters())
        flat = [parameters[part.name].detach().reshape(-1) for part in space.dense]
        dense = torch.cat(flat) if flat else torch.empty(0, dtype=space.dtype, device=space.device)
        return cls(space, dense, [parameters[table.name].detach() for table in space.tables])

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """Cost: P values and the rows asked for, whatever the tables' sizes."""
        size = self.space.size(ids)
        flat = allocate(size) if allocate else self.dense.new_empty(size)
        point = Point(self.space, ids, flat)
        point.dense.copy_(self.dense)
        for t, wanted in enumerate(ids):
            torch.index_select(self.tables[t], 0, wanted.to(flat.device), out=point.rows(t))
        return point

    def push(self, displacement: Point, rate: float) -> None:
        """Cost: P values and the displacement's rows."""
        displacement = displacement.without(self.space.frozen)
        self.dense.add_(displacement.dense, alpha=rate)
        for t, ids in enumerate(displacement.ids):
            self.tables[t].index_add_(0, ids.to(self.dense.device), displacement.rows(t), alpha=rate)

    def freezing(self, names: frozenset[str]) -> LocalStore:
        """The same parameters (not a copy), of which nothing moves those of these names."""
        space = replace(self.space, frozen=self.space.frozen | names)
        return LocalStore(space, self.dense, self.tables)

    def push_by(self, outer: Outer, displacement: Point, state: Moments) -> None:
        """Add the step that an outer optimizer makes of a displacement (which it may change)."""
        self.push(outer.update(displacement, state), 1.0)


class Overlay:
    """A shared store with one domain's specific part laid over it: Θ = θ_S + θ_i (MAMDR, Equation 4).

    A pull sums the two. A push changes the specific part alone, and of it only parameters that may be specific.

    Args:
        shared: never pushed to.
        specific: every domain's specific part, a point of `space.part`; a domain without one is shared alone. It may
            be on disk: what is changed is put back.
        domain: i.
        rows: when given, a push keeps only these rows (a domain's own); by default all that a walk touched.
        share: λ_i, how much of the specific part a pull lays over: θ_S + λ_i θ_i. Training lays over all of it.
    """

    def __init__(
        self,
        shared: Store,
        specific: MutableMapping[int, Point],
        domain: int,
        rows: Ids | None = None,
        share: float = 1.0,
    ) -> None:
        self.shared, self.specific, self.domain, self.rows = shared, specific, domain, rows
        self.share = share

    @property
    def space(self) -> Space:
        return self.shared.space

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """Cost: a pull from shared, and a sum over the specific rows among them."""
        point = self.shared.pull(ids, allocate)
        self.lay_on(point, ids)
        return point

    @property
    def adds(self) -> bool:
        """Whether a pull differs from one of the shared store."""
        return bool(self.share) and self.domain in self.specific

    def lay_on(self, point: Point, ids: Ids, places: Ids | None = None) -> None:
        """Add the specific part to a point, in place: its dense values, and of its rows these.

        Args:
            places: where the rows lie in the point; by default they are all of its rows.
        """
        specific = self.specific.get(self.domain) if self.share else None
        if specific is None:
            return
        lay_over(point, specific, self.share)
        device = point.flat.device
        for t, wanted in enumerate(ids):
            here, there = positions(specific.ids[t], wanted)
            there = there if places is None else places[t][there]
            rows = specific.rows(t)[here.to(device)]
            point.rows(t).index_add_(0, there.to(device), rows, alpha=self.share)

    def push(self, displacement: Point, rate: float) -> None:
        """Rows that did not move take no room. Cost: the displacement's values; the specific part is copied when it
        gains rows. Factored matrices cost a singular value decomposition each."""
        if isinstance(self.specific, Elsewhere):
            self.specific.push(self.domain, displacement, rate, self.rows, self.space.frozen)
            return
        displacement = displacement.keep_only(self.space.specific - self.space.frozen)
        if self.rows is not None:
            kept = tuple(i[positions(i, own)[0]] for i, own in zip(displacement.ids, self.rows, strict=True))
            displacement = displacement.at(kept)
        displacement = displacement.moved()
        self.specific[self.domain] = pushed(self.space, self.specific.get(self.domain), displacement, rate)

    def aside(self) -> Overlay:
        """The same values, with pushes that nobody else sees. Cost: a copy of the specific part."""
        part = self.specific.get(self.domain)
        own = {} if part is None else {self.domain: part.copy()}
        return Overlay(self.shared, own, self.domain, self.rows, self.share)

    def fade(self, share: float) -> None:
        """Multiply the specific part, if there is one, by `share`."""
        if isinstance(self.specific, Elsewhere):
            self.specific.fade(self.domain, share, self.space.frozen)
            return
        part = self.specific.get(self.domain)
        if part is not None:
            fade(self.space, part, share)
            self.specific[self.domain] = part


class Patched:
    """A store of which some values are replaced for one domain: its dense part, and those rows that its patch has.

    A push moves the patch, which gains the rows that it lacks.

    Args:
        store: the values of every other row; never pushed to.
        patches: every domain's patch, a point of the whole space.
        domain: whose patch it is; it must have one.
    """

    def __init__(self, store: Store, patches: MutableMapping[int, Point], domain: int) -> None:
        self.store, self.patches, self.domain = store, patches, domain

    @property
    def space(self) -> Space:
        return self.store.space

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """Cost: a pull from the store, and the patch's rows among them."""
        point, patch = self.store.pull(ids, allocate), self.patches[self.domain]
        point.dense.copy_(patch.dense)
        for t, wanted in enumerate(ids):
            here, there = (places.to(point.flat.device) for places in positions(patch.ids[t], wanted))
            point.rows(t).index_copy_(0, there, patch.rows(t).index_select(0, here))
        return point

    def push(self, displacement: Point, rate: float) -> None:
        """Cost: the displacement's values; the patch is copied when it gains rows."""
        patch = self.patches[self.domain]
        if not same_ids(patch.ids, displacement.ids):
            patch = patch.take_rows(self.store.pull(_lacking(patch.ids, displacement.ids)))
        self.patches[self.domain] = patch.add(displacement.without(self.space.frozen), rate)


class Ahead:
    """A store read at a point ahead of it: Θ + lead. Rows that the lead lacks are the store's.

    A push moves the lead alone.

    Args:
        store: never pushed to.
        lead: a point of the whole space; it gains rows when it is pushed to.
    """

    def __init__(self, store: Store, lead: Point) -> None:
        self.store, self.lead = store, lead

    @property
    def space(self) -> Space:
        return self.store.space

    def pull(self, ids: Ids, allocate: Allocate | None = None) -> Point:
        """Cost: a pull from the store, and the lead's rows among them."""
        point = self.store.pull(ids, allocate)
        point.dense.add_(self.lead.dense)
        for t, wanted in enumerate(ids):
            here, there = (places.to(point.flat.device) for places in positions(self.lead.ids[t], wanted))
            point.rows(t).index_add_(0, there, self.lead.rows(t).index_select(0, here))
        return point

    def push(self, displacement: Point, rate: float) -> None:
        """Cost: the displacement's values; the lead is copied when it gains rows."""
        self.lead = self.lead.add(displacement.without(self.space.frozen), rate)


def _lacking(ids: Ids, wanted: Ids) -> Ids:
    """The rows wanted that are not there."""
    return tuple(w[~torch.isin(w, i)] for i, w in zip(ids, wanted, strict=True))


def layers(store: Store) -> tuple[Store, list[Overlay]]:
    """What lies under a store's overlays, and those of them that add something, the lowest first."""
    over: list[Overlay] = []
    while isinstance(store, Overlay):
        over += [store] if store.adds else []
        store = store.shared
    return store, over[::-1]
