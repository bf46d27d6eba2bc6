"""A bound module on values beside its point, where a step would lead that nobody makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mamdr.engine.binding import Binding
from mamdr.engine.lazy import LazyRows
from mamdr.engine.virtual_rows import VirtualRows
from mamdr.errors import ModelError

Grads = list[list[Tensor | None]]
"""For the dense part and then for each table, a gradient a piece; None where nothing came through."""


class Virtual:
    """A bound module on values beside its point: θ', which begins at θ.

    A context manager, entered for each step; afterwards the module computes on the point again.

    Args:
        binding: bound to the walk's point, with gradients.
        lazy: who steps the tables that are held lazily.

    Raises:
        ModelError: an embedding of the module has `max_norm`, which changes rows while they are looked up; or, when
            gradients are taken, the module reaches a parameter past its attributes, or has an operation (a bag of
            embeddings) that torch cannot differentiate twice.

    Memory: beside θ' a number for each row of the walk.
    """

    def __init__(self, binding: Binding, lazy: Mapping[int, LazyRows]) -> None:
        _check_norms(binding.module)
        self.binding = binding
        self.tables = [VirtualRows(binding.point.rows(t), lazy.get(t)) for t in range(len(binding.held))]
        self.dense: list[Tensor] = []
        self.now: list[Tensor] = []
        self._owners = [_owners(binding.module, parameter) for parameter in binding.dense]
        self._recurrent = [m for m in binding.module.modules() if isinstance(m, nn.RNNBase)]

    def __enter__(self) -> Virtual:
        self.dense = [p.detach().requires_grad_() if p.requires_grad else p for p in self.binding.dense]
        self._see(self.dense)
        space = self.binding.point.space
        for held, rows, table in zip(self.binding.held, self.tables, space.tables, strict=True):
            rows.clear()
            held.virtual = None if table.name in space.frozen else rows
        return self

    def __exit__(self, *error: object) -> None:
        self._see(list(self.binding.dense))
        for held in self.binding.held:
            held.virtual = None
        self.binding.give_weights()

    def _see(self, values: list[Tensor]) -> None:
        """Let the module compute on these dense values."""
        self.now = values
        for owners, value in zip(self._owners, values, strict=True):
            for owner, name in owners:
                owner._parameters[name] = value  # type: ignore[assignment]
        for module in self._recurrent:  # these keep a list of their weights beside the weights
            module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]

    def gradients(self, loss: Tensor, *, graph: bool = False) -> Grads:
        """Of a loss with respect to θ', where it now is."""
        return self._gradients(loss, [self.now, *(rows.now for rows in self.tables)], graph)

    def gradients_at_start(self, loss: Tensor) -> Grads:
        """Of a loss with respect to θ, through the steps."""
        return self._gradients(loss, [self.dense, *(rows.leaves for rows in self.tables)], False)

    def _gradients(self, loss: Tensor, values: list[list[Tensor]], graph: bool) -> Grads:
        moving = [value for group in values for value in group if value.requires_grad]
        bound = [parameter for parameter in self.binding.dense if parameter.requires_grad]
        found = _slopes(loss, [*moving, *bound], graph)
        if any(grad is not None for grad in found[len(moving) :]):
            raise ModelError(
                "the module reaches a parameter in a way of its own, past its attributes",
                "parameters that are read as attributes of their modules",
                "Read them so, or choose a strategy that does not look ahead",
            )
        grads = iter(found)
        return [[next(grads) if value.requires_grad else None for value in group] for group in values]

    def step(self, grads: Grads, rate: float, *, graph: bool) -> None:
        """θ' ← θ' − rate · gradient; without `graph` the way back to θ is forgotten."""
        for rows, of_rows in zip(self.tables, grads[1:], strict=True):
            rows.now = _moved(rows.now, of_rows, rate, graph)
        self._see(_moved(self.now, grads[0], rate, graph))

    def put(self, grads: Grads) -> None:
        """Leave a gradient where the walk's step looks for it."""
        for parameter, grad in zip(self.binding.dense, grads[0], strict=True):
            if grad is not None and parameter.grad is not None:
                parameter.grad.add_(grad)
        for held, rows, of_rows in zip(self.binding.held, self.tables, grads[1:], strict=True):
            for places, leaf, grad in zip(rows.places, rows.leaves, of_rows, strict=True):
                if rows.lazy is not None:
                    leaf.grad = torch.zeros_like(leaf) if grad is None else grad
                elif held.weight is not None and held.weight.grad is not None and grad is not None:
                    held.weight.grad.index_add_(0, places, grad)
            held.touched.extend(rows.places)


def _moved(values: list[Tensor], grads: list[Tensor | None], rate: float, graph: bool) -> list[Tensor]:
    moved = [v if g is None else torch.sub(v, g, alpha=rate) for v, g in zip(values, grads, strict=True)]
    return moved if graph else [v.detach().requires_grad_() if v.requires_grad else v for v in moved]


def _slopes(loss: Tensor, values: list[Tensor], graph: bool) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(loss, values, create_graph=graph, allow_unused=True)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise ModelError(
            f"the module cannot be differentiated twice: {error}",
            "operations that torch can, under order = 2",
            "Set order to 1",
        ) from error


def _owners(module: nn.Module, parameter: nn.Parameter) -> list[tuple[nn.Module, str]]:
    """The modules that hold a parameter, and its name there."""
    return [(m, name) for m in module.modules() for name, p in m._parameters.items() if p is parameter]


def _check_norms(module: nn.Module) -> None:
    for name, part in module.named_modules():
        norm: Any = getattr(part, "max_norm", None)
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag)) and norm is not None:
            raise ModelError(
                f"embedding {name!r} has max_norm = {norm}, which changes rows while they are looked up",
                "none under a strategy that looks ahead (maml, mldg)",
                "Take it out, or choose another strategy",
            )
