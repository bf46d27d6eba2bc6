"""A module that computes on a point: its parameters are views of the point's flat buffer.

Ids are translated to positions in the point right in front of each embedding, so a module needs no change and never
knows. Two ways to hold a table:

- eager: the embedding's weight is the point's rows, its gradient a view of a flat gradient buffer, which a plain
  embedding adds to row by row (`engine.lookup`);
- lazy: each call gathers the distinct rows of its batch into a small weight of its own, whose gradient is theirs alone,
  so that a step costs the rows of a batch however many rows the walk has.

While a table is given `virtual` rows, its embeddings compute on those instead; and while many walks are walked in
lock-step (`stacked`), on the rows of the walk at hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from mamdr.engine import compiled_rows
from mamdr.engine.arena import Workspace
from mamdr.engine.compiled_rows import CompiledRows
from mamdr.engine.dropout import packed
from mamdr.engine.gathered import gather, is_gathered
from mamdr.engine.lazy import LazyRows, Leaves
from mamdr.engine.lookup import look_up, plain
from mamdr.engine.stacked import Masks, StackedRows
from mamdr.engine.tower import Tower, is_tower
from mamdr.engine.virtual_rows import VirtualRows
from mamdr.models.layers import ReLUDropout
from mamdr.parameters import Ids, Point, Space


class RowMiss(Exception):  # noqa: N818 (a signal between binding and walk, not an error)
    """Ids reached an embedding that the point has no rows for: pull them and compute the batch again."""

    def __init__(self, table: int, ids: Tensor) -> None:
        super().__init__(f"{len(ids)} rows of table {table}")
        self.table, self.ids = table, ids

    def added_to(self, ids: Ids) -> Ids:
        """The ids that were loaded, and those that were missed.

        Raises: RuntimeError: they were loaded, and somebody else's binding missed them.
        """
        loaded, added = ids[self.table], list(ids)
        added[self.table] = torch.unique(torch.cat([loaded, self.ids.cpu()]))
        if len(added[self.table]) == len(loaded):
            raise RuntimeError("rows that were loaded are missed: the module is bound twice") from self
        return tuple(added)


@dataclass
class _Held:
    """How a table is held while bound.

    `slots` leads from an id to its place in the point (-1: none); `touched` are the places that a batch's lookups touch
    in an eager table with a gradient, those of a lookup together, some of them several times; `single` keeps by id the
    place of ids that were looked up alone, as the domain's is for each batch; `plain` is whether all its embeddings
    are `engine.lookup.plain`.
    """

    slots: Tensor
    plain: bool = True
    weight: Tensor | None = None
    lazy: LazyRows | Leaves | None = None
    virtual: VirtualRows | None = None
    stacked: StackedRows | None = None
    touched: list[Tensor] = field(default_factory=list)
    single: dict[int, Tensor] = field(default_factory=dict)


class Binding:
    """Binds a module to points, one after another; `release` gives the module its own parameters back.

    Args:
        module: any module; trainable parameters are swapped while bound.
        space: its parameters, sorted.
        packed_dropout: let the module's `nn.Dropout` layers draw packed masks (see `engine.dropout`).

    Cost: binding copies nothing; 4 bytes per table row for the translation.
    """

    def __init__(self, module: nn.Module, space: Space, *, packed_dropout: bool = True) -> None:
        self.module, self.space, self.point = module, space, Point.zeros(space)
        parameters = dict(module.named_parameters())
        self.dense = [parameters[part.name] for part in space.dense]
        self._own = [parameter.data for parameter in self.dense]
        self.held = [
            _Held(torch.full((t.rows,), -1, dtype=torch.int32, device=space.device)) for t in space.tables
        ]
        self._embeddings: list[tuple[nn.Module, nn.Parameter, int | None, bool]] = []
        self._plain: dict[nn.Module, int] = {}
        self._handles: list[RemovableHandle] = []
        self._going = False
        self._dropouts = _dropouts(module) if packed_dropout else []
        gathered = [m for m in module.modules() if packed_dropout and is_gathered(m)]
        for index, table in enumerate(space.tables):
            for owner in table.owners:
                self._hook(module.get_submodule(owner), index)
        self._workspace = Workspace()
        towers = [m for m in module.modules() if packed_dropout and is_tower(m)]
        self._in_one_go: list[tuple[nn.Module, str, Callable[..., Tensor]]] = [
            *((tower, "through", Tower(tower, self._workspace).through) for tower in towers),
            *((inputs, "rows", functools.partial(gather, inputs, self._in_place)) for inputs in gathered),
        ]
        for dropout in self._dropouts:
            dropout.forward = functools.partial(packed, dropout)  # type: ignore[method-assign]

    @property
    def trains_in_one_go(self) -> bool:
        """Whether the module has layers that can be."""
        return any(name == "through" for _, name, _ in self._in_one_go)

    @contextmanager
    def in_one_go(self) -> Iterator[None]:
        """Inside, hidden layers are trained in one go, and rows changed where they lie (`engine.compiled_rows`):
        gradients are for `backward` alone, of the first order."""
        self._workspace.begin()
        self._going = True
        for part, name, instead in self._in_one_go:
            part.__dict__[name] = instead
        try:
            yield
        finally:
            self._going = False
            for part, name, _ in self._in_one_go:
                part.__dict__.pop(name, None)

    def _hook(self, embedding: nn.Module, table: int) -> None:
        own: Any = embedding.weight
        padding: Any = embedding.padding_idx
        sparse: Any = embedding.sparse
        self._embeddings.append((embedding, own, padding, sparse))
        embedding.sparse = False  # type: ignore[assignment]
        translate = functools.partial(self._translate, table, padding)
        self._handles.append(embedding.register_forward_pre_hook(translate, with_kwargs=True))
        if plain(embedding):
            self._plain[embedding] = table
            embedding.forward = functools.partial(self._rows_of, table, embedding)
        else:
            self.held[table].plain = False

    def load(
        self,
        point: Point,
        grad: Tensor | None = None,
        lazy: Mapping[int, LazyRows | Leaves] | None = None,
        frozen: frozenset[str] = frozenset(),
    ) -> None:
        """Compute on `point` from now on.

        Args:
            point: the values; what the optimizer changes there, the module sees.
            grad: where gradients of the dense part and of eager tables accumulate, laid out as the point without its
                lazy and its frozen tables; None to compute without gradients.
            lazy: the tables whose rows are gathered call by call.
            frozen: names of the parameters that get no gradient.
        """
        self._forget()
        self.point = point
        for index, parameter in enumerate(self.dense):
            parameter.data = point.parameter(index)
            part = self.space.dense[index]
            parameter.requires_grad_(part.name not in frozen)
            parameter.grad = (
                grad[part.offset : part.offset + part.size].view(part.shape)
                if grad is not None and part.name not in frozen
                else None
            )
        offset = self.space.dense_size
        for t, held in enumerate(self.held):
            ids, rows = point.ids[t].to(self.space.device), point.rows(t)
            held.slots[ids] = torch.arange(len(ids), dtype=torch.int32, device=self.space.device)
            held.lazy, held.weight, held.virtual = (lazy or {}).get(t), rows, None
            if grad is not None and held.lazy is None and self.space.tables[t].name not in frozen:
                held.weight = rows.detach().requires_grad_()
                held.weight.grad = grad[offset : offset + rows.numel()].view(rows.shape)
                offset += rows.numel()
        self.give_weights()

    def padding_of(self, embedding: nn.Module) -> int | None:
        """The id that is padding to an embedding, which while bound looks for places."""
        own = {id(module): padding for module, _, padding, _ in self._embeddings}
        return own[id(embedding)]

    def give_weights(self) -> None:
        """Give each embedding the weight of its table, whatever the last lookup left there."""
        for held, table in zip(self.held, self.space.tables, strict=True):
            for owner in table.owners:
                self.module.get_submodule(owner)._parameters["weight"] = held.weight  # type: ignore[assignment]

    @contextmanager
    def stacked(self, tables: Sequence[StackedRows], masks: Masks) -> Iterator[None]:
        """Inside, compute on the rows of many walks, and draw each walk's packed dropout masks."""
        for held, rows in zip(self.held, tables, strict=True):
            held.stacked = rows
        for dropout in self._dropouts:
            dropout.forward = functools.partial(masks, dropout)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for held in self.held:
                held.stacked = None
            for dropout in self._dropouts:
                dropout.forward = functools.partial(packed, dropout)  # type: ignore[method-assign]

    def _translate(
        self,
        table: int,
        padding: int | None,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The forward pre-hook of an embedding: ids to positions, and for a lazy table the weight of this call."""
        ids = args[0] if args else kwargs["input"]
        held = self.held[table]
        if held.stacked is not None:
            places, weight = held.stacked.look_up(ids)
            module._parameters["weight"] = weight  # type: ignore[assignment]
            module.padding_idx = None  # type: ignore[assignment]
            return ((places, *args[1:]), kwargs) if args else (args, {**kwargs, "input": places})
        if self._rows_in_place(held):
            return args, kwargs
        if ids.shape == (1,) and padding is None and held.virtual is None and held.lazy is None:
            place = self._place(held, table, ids)
            if held.weight is not None and held.weight.requires_grad and torch.is_grad_enabled():
                held.touched.append(place)
            place = place.to(ids.dtype)
            return ((place, *args[1:]), kwargs) if args else (args, {**kwargs, "input": place})
        places = held.slots.index_select(0, ids.reshape(-1).long()).view(ids.shape)
        if places.numel() and int(places.min()) < 0:
            raise RowMiss(table, torch.unique(ids[places < 0]))
        where = None if padding is None else int(held.slots[padding])
        if held.virtual is not None:
            places, weight = held.virtual.look_up(places)
            module._parameters["weight"] = weight  # type: ignore[assignment]
            where = None if where is None or where < 0 else held.virtual.slot(where)
        elif held.lazy is not None:
            distinct, places = torch.unique(places.long(), return_inverse=True)
            module._parameters["weight"] = held.lazy.gather(distinct)  # type: ignore[assignment]
            where = _index(distinct, where)
        elif held.weight is not None and held.weight.requires_grad and torch.is_grad_enabled():
            held.touched.append(places.reshape(-1).long())
        if padding is not None:
            module.padding_idx = None if where is None or where < 0 else where  # type: ignore[assignment]
        places = places.to(ids.dtype)
        return ((places, *args[1:]), kwargs) if args else (args, {**kwargs, "input": places})

    def _in_place(self, embedding: nn.Module) -> CompiledRows | None:
        table = self._plain.get(embedding)
        return None if table is None else self._rows_in_place(self.held[table])

    def _rows_in_place(self, held: _Held) -> CompiledRows | None:
        """The rows of a table whose lookups now change them where they lie, given ids and not places."""
        if not (self._going and isinstance(held.lazy, CompiledRows)):
            return None
        return held.lazy if held.virtual is None and torch.is_grad_enabled() else None

    def _rows_of(self, table: int, embedding: nn.Module, input: Tensor) -> Tensor:
        """The forward pass of a plain embedding, given places in its weight, or ids."""
        held = self.held[table]
        if rows := self._rows_in_place(held):
            found = compiled_rows.look_up(rows, input)
            if found is None:
                raise RowMiss(table, torch.unique(input[held.slots[input.long()] < 0]))
            return found
        weight: Any = embedding.weight
        if held.weight is None or weight is not held.weight:  # a lazy table's, or one beside the point
            return F.embedding(input, weight)
        kept = torch.is_grad_enabled() and held.weight.grad is not None
        return look_up(held.weight, input) if kept else F.embedding(input, held.weight)

    def _place(self, held: _Held, table: int, ids: Tensor) -> Tensor:
        """The place of one id, [1], which costs a step as much as those of a batch unless it is kept."""
        id = int(ids)
        place = held.single.get(id)
        if place is None:
            place = held.slots.index_select(0, ids.long()).long()
            if int(place) < 0:
                raise RowMiss(table, ids)
            held.single[id] = place
        return place

    def _forget(self) -> None:
        for ids, held in zip(self.point.ids, self.held, strict=True):
            held.slots[ids.to(self.space.device)] = -1
            held.touched.clear()
            held.single.clear()

    def release(self) -> None:
        """Give the module its own parameters back and take the hooks off. The binding cannot be used after."""
        for handle in self._handles:
            handle.remove()
        for parameter, own in zip(self.dense, self._own, strict=True):
            parameter.data, parameter.grad = own, None
            parameter.requires_grad_()
        for embedding, weight, padding, sparse in self._embeddings:
            embedding._parameters["weight"] = weight
            embedding.padding_idx, embedding.sparse = padding, sparse  # type: ignore[assignment]
        for replaced in (*self._dropouts, *self._plain):
            replaced.__dict__.pop("forward", None)
        self._embeddings, self._handles = [], []


def _dropouts(module: nn.Module) -> list[nn.Dropout]:
    """The layers that can draw packed masks: exactly these kinds, as a subclass may do anything."""
    return [m for m in module.modules() if isinstance(m, nn.Dropout) and type(m) in (nn.Dropout, ReLUDropout)]


def _index(distinct: Tensor, place: int | None) -> int | None:
    """Where `place` lies in `distinct`, if there."""
    if place is None or place < 0:
        return None
    found = torch.nonzero(distinct == place)
    return int(found) if len(found) else None
