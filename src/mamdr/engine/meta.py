"""The gradient of what a step on some rows does to others: the objective of MAML and of MLDG.

`strategies.protocol.Meta` says what is computed; here is how. Nothing of it moves the walk's point: the module computes
on values beside it, and what comes out lies where the gradient of a plain mini-batch would.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine.binding import Binding
from mamdr.engine.lazy import LazyRows
from mamdr.engine.virtual import VirtualRows
from mamdr.errors import ModelError
from mamdr.parameters import Point
from mamdr.strategies.protocol import Meta

if TYPE_CHECKING:
    from mamdr.engine.walk import Walked

Part = tuple[Batch, Tensor]
"""Inputs and labels [B]."""

Grads = list[list[Tensor | None]]
"""For the dense part and then for each table, a gradient a piece; None where nothing came through."""


class MetaStep:
    """Makes steps down the objective's gradient.

    Args:
        walked: the walk under way.
        meta: the objective.
        draw: where the parting of domains comes from.
    """

    def __init__(self, walked: Walked, meta: Meta, draw: np.random.Generator) -> None:
        self.walked, self.meta, self.draw = walked, meta, draw
        self._virtual: tuple[Point, Virtual] | None = None

    def __call__(self, batch: Batch, labels: Tensor, cut: int | None = None) -> Tensor:
        """Make a step; the losses' mean, weighted as they are in the objective.

        Args:
            cut: how many of the first rows are support; None parts the domains.
        """
        part = batch, labels
        parts = by_domain(part, self.meta.share, self.draw) if cut is None else _cut(part, cut)
        loss = self.walked.again(functools.partial(self._descend, parts))
        self.walked.advance()
        return loss

    def _descend(self, parts: Sequence[Part]) -> Tensor:
        with self._on_the_point() as virtual:
            return descend(self.meta, virtual, self._loss, parts)

    def _on_the_point(self) -> Virtual:
        """Values beside the walk's point, which may have grown."""
        if self._virtual is None or self._virtual[0] is not self.walked.work:
            self._virtual = self.walked.work, Virtual(self.walked.binding, self.walked.lazy)
        return self._virtual[1]

    def _loss(self, part: Part) -> Tensor:
        """The mean over the part's domains of the mean loss of each one's rows."""
        weights = domain_weights(part[0]["domain"])
        if weights is None:
            return self.walked.loss_once(*part)
        each = self.walked.loss_once(*part, "none")
        return each @ weights.to(each.dtype)


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
            if held.watch:
                held.touched.extend(rows.places)


def descend(meta: Meta, virtual: Virtual, loss_of: Callable[[Part], Tensor], parts: Sequence[Part]) -> Tensor:
    """Leave the gradient of own · L(θ; support) + ahead · L(θ'; query) for the walk's step.

    Args:
        virtual: entered.
        loss_of: runs the module as it now is.
        parts: support and query; or support alone, when there is no query.

    Returns: the two losses' mean, weighted as they are in the objective.

    Cost: inner_steps + 1 passes forward and backward; with order 2 each backward pass is itself passed back through,
    which takes about as much again, and every θ' is kept: inner_steps times P values and the rows looked up.
    """
    second = meta.order == 2 and len(parts) == 2
    here = loss_of(parts[0])
    slopes = own = virtual.gradients(here, graph=second)
    if len(parts) == 1:
        virtual.put(_sum(own, meta.own))
        return here.detach()
    for step in range(meta.inner_steps):
        if step:
            slopes = virtual.gradients(loss_of(parts[0]), graph=second)
        virtual.step(slopes, meta.rate, graph=second)
    there = loss_of(parts[1])
    if second:
        virtual.put(virtual.gradients_at_start(meta.own * here + meta.ahead * there))
    else:
        virtual.put(_sum(own, meta.own, virtual.gradients(there), meta.ahead))
    return (meta.own * here.detach() + meta.ahead * there.detach()) / (meta.own + meta.ahead)


def by_domain(part: Part, share: float, draw: np.random.Generator) -> tuple[Part, ...]:
    """The domains of a mini-batch parted into support and query at random; as it is, if it has one domain alone."""
    domains = part[0]["domain"]
    present = torch.unique(domains)
    if len(present) < 2:
        return (part,)
    count = min(max(round(share * len(present)), 1), len(present) - 1)
    chosen = torch.from_numpy(draw.permutation(len(present))[:count])
    inside = torch.isin(domains, present[chosen])
    return _where(part, inside), _where(part, ~inside)


def domain_weights(domains: Tensor) -> Tensor | None:
    """For each row, float64, its share of the mean over domains of their mean losses; None for a single domain, whose
    mean is plain."""
    _, which, counts = torch.unique(domains, return_inverse=True, return_counts=True)
    return None if len(counts) == 1 else (counts[which] * len(counts)).double().reciprocal()


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


def _cut(part: Part, cut: int) -> tuple[Part, Part]:
    batch, labels = part
    first = {name: column[:cut] for name, column in batch.items()}
    return (first, labels[:cut]), ({name: column[cut:] for name, column in batch.items()}, labels[cut:])


def _where(part: Part, mask: Tensor) -> Part:
    return {name: column[mask] for name, column in part[0].items()}, part[1][mask]


def _moved(values: list[Tensor], grads: list[Tensor | None], rate: float, graph: bool) -> list[Tensor]:
    moved = [v if g is None else torch.sub(v, g, alpha=rate) for v, g in zip(values, grads, strict=True)]
    return moved if graph else [v.detach().requires_grad_() if v.requires_grad else v for v in moved]


def _sum(first: Grads, weight: float, second: Grads | None = None, second_weight: float = 0.0) -> Grads:
    """weight · first + second_weight · second, where second may have more pieces."""
    return [
        [_plus(a, weight, b, second_weight) for a, b in itertools.zip_longest(ours, theirs)]
        for ours, theirs in zip(first, [[]] * len(first) if second is None else second, strict=True)
    ]


def _plus(a: Tensor | None, weight: float, b: Tensor | None, other: float) -> Tensor | None:
    scaled = [grad * by for grad, by in ((a, weight), (b, other)) if grad is not None and by]
    return scaled[0] if len(scaled) == 1 else sum(scaled[1:], scaled[0]) if scaled else None


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
