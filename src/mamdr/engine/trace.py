"""Looks once at a module at work: does it take the batches, and which id column feeds which embedding?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mamdr.data.domains import Batch, Schema
from mamdr.data.vocabulary import PADDING
from mamdr.engine.look import looking
from mamdr.engine.misfit import FAILURES, column_of, misfit
from mamdr.errors import ModelError
from mamdr.parameters import Space

_ROWS = 257
_LOOKUPS = (nn.functional.embedding, nn.functional.embedding_bag)
_HARMLESS = {"device", "dtype", "ndim", "layout", "requires_grad", "is_leaf", "is_cuda", "is_sparse"}


def probe(schema: Schema) -> Batch:
    """A batch of random ids, [257] a column, with the largest id of each column in its first row.

    A column of lists is [257, the most ids of a row], with lists of every length from none.
    """
    random = torch.Generator().manual_seed(0)
    sizes = {**schema.ids, "domain": len(schema.domains)}
    batch = {name: torch.randint(0, size, (_ROWS,), generator=random) for name, size in sizes.items()}
    for name, longest in schema.lists.items():
        ids = torch.randint(0, sizes[name], (_ROWS, longest), generator=random)
        lengths = torch.randint(0, longest + 1, (_ROWS, 1), generator=random)
        lengths[0] = longest
        batch[name] = ids.masked_fill_(torch.arange(longest) >= lengths, PADDING)
    for name, size in sizes.items():
        batch[name][0] = size - 1
    batch.update({name: torch.randn(_ROWS, generator=random) for name in schema.numeric})
    return batch


class _Uses(TorchFunctionMode):
    """Notes which of the watched tensors some function other than an embedding lookup takes."""

    def __init__(self, weights: dict[int, str]) -> None:
        super().__init__()
        self.weights, self.elsewhere = weights, set[str]()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        args = tuple(args)
        if func not in _LOOKUPS and getattr(getattr(func, "__self__", None), "__name__", "") not in _HARMLESS:
            for value in (*args, *(kwargs or {}).values()):
                inside = value if isinstance(value, (list, tuple)) else (value,)
                self.elsewhere.update(self.weights[id(v)] for v in inside if id(v) in self.weights)
        return func(*args, **(kwargs or {}))


def trace(module: nn.Module, schema: Schema, *, specific: Callable[[str], bool] = lambda name: True) -> Space:
    """Sort a module's parameters after running it on one batch of random ids, as in evaluation and as in training.

    A table's id columns are recognised by their values; ids that the module computes itself are left to be watched
    for. An embedding weight that is also used in another way (a tied output layer, a norm, its shape) is held whole.
    The module is afterwards as it was before.

    Raises:
        ModelError: the module does not take a batch (a wrong feature name, an embedding too small for its column, no
            part for some domain), or does not return one finite logit a row.

    Cost: two forward passes of 257 rows.
    """
    plain = Space.of(module, specific=specific)
    names = {name: parameter for name, parameter in module.named_parameters()}
    weights = {id(names[table.name]): table.name for table in plain.tables}
    batch = {name: column.to(plain.device) for name, column in probe(schema).items()}
    reached: dict[str, set[str | None]] = {table.name: set() for table in plain.tables}
    handles = []
    for table in plain.tables:
        for owner in table.owners:
            watch = _watch(reached[table.name], batch)
            handles.append(module.get_submodule(owner).register_forward_pre_hook(watch, with_kwargs=True))
    uses = _Uses(weights)
    try:
        with looking(module), uses:
            for training in (False, True):
                _forward(module.train(training), batch)
    finally:
        for handle in handles:
            handle.remove()
    columns = {
        name: None if None in found else tuple(sorted(c for c in found if c))
        for name, found in reached.items()
    }
    return Space.of(module, columns=columns, keep_dense=sorted(uses.elsewhere), specific=specific)


def _watch(reached: set[str | None], batch: Batch) -> Callable[..., None]:
    """A forward pre-hook that notes which column an embedding is given."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        reached.add(column_of(args[0] if args else kwargs["input"], batch))

    return hook


def _forward(module: nn.Module, batch: Batch) -> None:
    try:
        logits = module(dict(batch))
    except FAILURES as error:
        raise misfit(module, batch, error) from error
    if not isinstance(logits, Tensor) or logits.shape != (_ROWS,):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"forward returned {found} for {_ROWS} rows", f"logits of shape ({_ROWS},)", "Squeeze the output"
        )
    if not torch.isfinite(logits).all():
        raise ModelError(
            "forward returned logits that are not finite", "finite numbers", "Check the initialisation"
        )
