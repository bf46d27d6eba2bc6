"""Hidden layers trained in one go.

Autograd makes a tensor for each operation: a product, its values after ReLU and dropout, the gradient of each, a
weight's gradient before it is added to the one that is kept. Those of a mini-batch of 1,024 rows come to several times
what a core's cache holds. Here a layer has its values and their gradient, both changed in place, and gradients of
weights are added where they are kept. With numba the passes between products are compiled (`engine.compiled`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mamdr.engine import compiled
from mamdr.engine.arena import Workspace
from mamdr.engine.dropout import pass_back_, relu_dropout_
from mamdr.models.layers import Dense, Layered, ReLUDropout

Layer = tuple[Dense, ReLUDropout | None]
"""A fully connected layer, and what comes after it."""


def is_tower(module: nn.Module) -> TypeGuard[Layered]:
    """Whether a module's layers can be trained in one go: fully connected, with biases, ReLU and dropout between."""
    if not isinstance(module, Layered) or type(module).through is not Layered.through:
        return False
    kinds = [type(part) for part in _parts(module)]
    return (
        kinds[::2] == [Dense] * len(kinds[::2])
        and kinds[1::2] == [ReLUDropout] * len(kinds[1::2])
        and type(module.layers) is nn.Sequential
        and all(part.bias is not None for part in _parts(module)[::2])
    )


def through(module: Layered, workspace: Workspace, rows: Tensor, constant: Tensor | None = None) -> Tensor:
    """What `module.through` comes to. On the way back the weights' `grad`, which they must have, are added to.

    Args:
        workspace: where values are kept until the way back is over.

    Where somebody may look in between (a hook), or values are not float32 on a CPU, it is `module.through`.
    """
    parts = _parts(module)
    if not (torch.is_grad_enabled() and rows.dtype == torch.float32 and rows.device.type == "cpu"):
        return Layered.through(module, rows, constant)
    if torch.is_autocast_enabled("cpu") or any(map(_is_watched, (module.layers, *parts))):
        return Layered.through(module, rows, constant)
    out: Tensor = _Through.apply(rows, constant, module.first.weight, list(_layers(parts)), workspace)  # type: ignore[no-untyped-call]
    return out


def _parts(module: Layered) -> list[Any]:
    return [module.first, *module.layers]


def _layers(parts: Sequence[Any]) -> Iterator[Layer]:
    for index in range(0, len(parts), 2):
        yield parts[index], parts[index + 1] if index + 1 < len(parts) else None


def _is_watched(part: nn.Module) -> bool:
    """Whether a layer has a hook, or a parameter that is frozen or has one: then it is to be called itself."""
    if part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks:
        return True
    return isinstance(part, Dense) and any(
        p.grad is None or p._backward_hooks for p in (part.weight, part.bias)
    )


def _rate(after: ReLUDropout) -> float:
    return after.p if after.training else 0.0


class _Through(torch.autograd.Function):
    """Rows [B, V] and what is the same for all of them, [1, C], through layers."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        constant: Tensor | None,
        weight: Tensor,
        layers: Sequence[Layer],
        workspace: Workspace,
    ) -> Tensor:
        ctx.rates = [None if after is None else _rate(after) for _, after in layers]
        ctx.layers = layers
        ctx.plan = _plan(rows, constant, layers, ctx.rates, workspace)
        values = (
            _forward(rows, constant, layers, ctx.rates) if ctx.plan is None else [rows, ctx.plan.forward()]
        )
        ctx.save_for_backward(constant, *values)
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        constant, *values = ctx.saved_tensors
        if ctx.rates[-1] is not None:
            grad = grad.clone(memory_format=torch.contiguous_format)  # another's, not to be changed
        wanted = ctx.needs_input_grad[:2]
        if ctx.plan is None:
            return *_backward(grad, constant, values, ctx.layers, ctx.rates, wanted), None, None, None
        return *ctx.plan.backward(grad, *wanted), None, None, None


def _plan(
    rows: Tensor,
    constant: Tensor | None,
    layers: Sequence[Layer],
    rates: Sequence[float | None],
    workspace: Workspace,
) -> Any:
    """To go through layers compiled, or None."""
    loops = compiled.loops()
    if loops is None or loops.through is None:
        return None
    from mamdr.engine.plan import plan_of  # imports numba, as those who loaded the loops have

    return plan_of(rows, constant, [dense for dense, _ in layers], rates, workspace)


def _forward(
    rows: Tensor, constant: Tensor | None, layers: Sequence[Layer], rates: Sequence[float | None]
) -> list[Tensor]:
    """The rows, and each layer's values."""
    values = [rows]
    for index, (dense, _) in enumerate(layers):
        given, bias, rate = values[-1], dense.bias.detach(), rates[index]
        if not index and constant is not None:
            bias = torch.addmv(bias, dense.weight[:, given.shape[1] :], constant[0])
        out = given @ dense.weight[:, : given.shape[1]].t()
        if rate is None:
            out.add_(bias)
        else:
            relu_dropout_(out, bias, rate)
        values.append(out)
    return values


def _backward(
    grad: Tensor,
    constant: Tensor | None,
    values: Sequence[Tensor],
    layers: Sequence[tuple[Any, Any]],
    rates: Sequence[float | None],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of rows and constant; those of weights and biases are added to."""
    of_rows, of_constant = wanted
    for index in reversed(range(len(layers))):
        dense, given, rate = layers[index][0], values[index], rates[index]
        if rate is not None:
            pass_back_(grad, values[index + 1], rate)
        width, sums = given.shape[1], grad.sum(0)
        dense.bias.grad.add_(sums)
        dense.weight.grad[:, :width].addmm_(grad.t(), given)
        if not index and constant is not None:
            dense.weight.grad[:, width:].addr_(sums, constant[0])
        if index or of_rows:
            grad = grad @ dense.weight[:, :width]
    back = (sums @ layers[0][0].weight[:, width:]).unsqueeze(0) if of_constant else None
    return grad if of_rows else None, back
