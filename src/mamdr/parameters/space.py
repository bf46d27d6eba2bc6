"""The parameters of a module, sorted into one dense part and tables of rows.

P is the number of dense values, T the number of tables, R_t the rows of table t and d_t its width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from mamdr.errors import ModelError

Ids = tuple[Tensor, ...]
"""For each table of a space, the ids of some of its rows: int64, sorted, without repeats."""

_ROW_MODULES = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True)
class Dense:
    """A parameter that lies whole in the dense part: values `offset` to `offset + size`."""

    name: str
    shape: torch.Size
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Table:
    """An embedding weight [R_t, d_t], of which a walk takes only the rows that its data touch.

    `owners` are the embedding modules that use the weight (more than one when it is tied). `columns` are the id
    columns of a batch that reach it unchanged; None when the module computes the ids itself (offsets, hashing), and
    they have to be watched for.
    """

    name: str
    rows: int
    dim: int
    owners: tuple[str, ...]
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Space:
    """Where each trainable parameter of a module lives: in the dense part or in a table of rows.

    Frozen parameters are left out: they are read where they are, and cost nothing.

    Args:
        dense: the dense parameters, offsets ascending.
        tables: the row tables.
        dtype: of every parameter (they must agree).
        device: of every parameter.
        specific: names of the parameters that may get a domain-specific part.
        rank: of what such a part keeps of a matrix; None keeps it whole (see `Specific`).
        frozen: names of parameters that nothing moves for the time being: walks from a store of this space leave them
            where they are, and so do pushes (see `strategies.Freeze`).
    """

    dense: tuple[Dense, ...]
    tables: tuple[Table, ...]
    dtype: torch.dtype
    device: torch.device
    specific: frozenset[str] = field(default=frozenset())
    rank: int | None = None
    frozen: frozenset[str] = field(default=frozenset())

    @property
    def dense_size(self) -> int:
        """P, the number of dense values."""
        return self.dense[-1].offset + self.dense[-1].size if self.dense else 0

    @property
    def names(self) -> tuple[str, ...]:
        return (*(part.name for part in self.dense), *(table.name for table in self.tables))

    def size(self, ids: Ids) -> int:
        """Number of values of a point with these rows."""
        return sum(self.sizes(ids))

    def sizes(self, ids: Ids) -> list[int]:
        """Of such a point the numbers of values of its dense part and of each table's rows."""
        rows = (i.numel() * table.dim for i, table in zip(ids, self.tables, strict=True))
        return [self.dense_size, *rows]

    def no_ids(self) -> Ids:
        return tuple(torch.empty(0, dtype=torch.int64) for _ in self.tables)

    def all_ids(self) -> Ids:
        return tuple(torch.arange(table.rows) for table in self.tables)

    @cached_property
    def moving(self) -> list[slice]:
        """The stretches of the dense part that are not frozen: one, the whole part, when nothing is."""
        if not self.frozen:
            return [slice(0, self.dense_size)]
        moving: list[slice] = []
        for part in self.dense:
            if part.name in self.frozen:
                continue
            stop = part.offset + part.size
            if moving and moving[-1].stop == part.offset:
                moving[-1] = slice(moving[-1].start, stop)
            else:
                moving.append(slice(part.offset, stop))
        return moving or [slice(0, 0)]

    @cached_property
    def part(self) -> Space:
        """The space of a domain's specific part: this one, unless some parameters are not specific or are factored.

        It has every table, in this order; of one that is not specific no part has rows.
        """
        if self.specific.issuperset(self.names) and not any(map(self._factored, self.dense)):
            return self
        dense: list[Dense] = []
        for whole in self.dense:
            for name, shape in self._kept(whole):
                dense.append(Dense(name, shape, dense[-1].offset + dense[-1].size if dense else 0))
        part = Space(tuple(dense), self.tables, self.dtype, self.device)
        return replace(part, specific=frozenset(part.names))

    @cached_property
    def held(self) -> dict[int, tuple[int, ...]]:
        """Where a dense parameter lies in `part`, by index here: one index there, or those of its two factors."""
        places, held = 0, {}
        for index, part in enumerate(self.dense):
            if count := len(self._kept(part)):
                held[index] = tuple(range(places, places + count))
                places += count
        return held

    def _kept(self, part: Dense) -> list[tuple[str, torch.Size]]:
        """Names and shapes of what a specific part holds of a dense parameter."""
        if part.name not in self.specific:
            return []
        rank = self.rank
        if rank is None or not self._factored(part):
            return [(part.name, part.shape)]
        *stack, m, n = part.shape
        left, right = torch.Size([*stack, m, rank]), torch.Size([*stack, n, rank])
        return [(f"{part.name}/left", left), (f"{part.name}/right", right)]

    def _factored(self, part: Dense) -> bool:
        """Whether two factors are smaller than the parameter."""
        if self.rank is None or len(part.shape) < 2:
            return False
        m, n = part.shape[-2:]
        return self.rank * (m + n) < m * n

    @classmethod
    def of(
        cls,
        module: nn.Module,
        *,
        columns: Mapping[str, tuple[str, ...] | None] | None = None,
        keep_dense: Sequence[str] = (),
        specific: Callable[[str], bool] = lambda name: True,
    ) -> Space:
        """Sort a module's trainable parameters.

        A weight is a row table when every module that owns it is an `nn.Embedding` or `nn.EmbeddingBag`. A weight
        that a linear layer shares, or that `keep_dense` names, is dense.

        Args:
            module: any module; its parameters are not changed.
            columns: for a table's name, the id columns that feed it (see `Table.columns`).
            keep_dense: names of weights to hold whole although embeddings own them.
            specific: which parameters may get a domain-specific part, by name.

        Raises:
            ModelError: no trainable parameter, or parameters of several types or devices.

        >>> space = Space.of(nn.ModuleDict({"item": nn.Embedding(100, 8), "out": nn.Linear(8, 1)}))
        >>> space.dense_size, [(table.name, table.rows, table.dim) for table in space.tables]
        (9, [('item.weight', 100, 8)])
        """
        owners = _owners(module)
        dense: list[Dense] = []
        tables: list[Table] = []
        offset = 0
        trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
        for name, parameter in trainable.items():
            using = owners[id(parameter)]
            if name not in keep_dense and all(isinstance(owner, _ROW_MODULES) for _, owner in using):
                rows, dim = parameter.shape
                feeding = (columns or {}).get(name)
                tables.append(Table(name, rows, dim, tuple(n for n, _ in using), feeding))
            else:
                dense.append(Dense(name, parameter.shape, offset))
                offset += parameter.numel()
        _check(trainable)
        first = next(iter(trainable.values()))
        allowed = frozenset(name for name in trainable if specific(name))
        return cls(tuple(dense), tuple(tables), first.dtype, first.device, allowed)


def _owners(module: nn.Module) -> dict[int, list[tuple[str, nn.Module]]]:
    """For each parameter (by identity), the modules that hold it directly."""
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, child in module.named_modules():
        for parameter in child.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, child))
    return owners


def _check(trainable: Mapping[str, nn.Parameter]) -> None:
    if not trainable:
        raise ModelError(
            "the module has no trainable parameter", "at least one", "Set requires_grad on what to train"
        )
    kinds = {(parameter.dtype, parameter.device) for parameter in trainable.values()}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ModelError(
            f"parameters of several kinds: {found}", "one floating type on one device", "Convert the module"
        )
    dtype = next(iter(kinds))[0]
    if dtype not in (torch.float32, torch.float64):
        raise ModelError(
            f"parameters of type {dtype}", "float32 (or float64)", "Use the precision option for bfloat16"
        )
