"""Hidden layers trained in one go.

Autograd makes a tensor for each operation: a product, its values after ReLU and dropout, the gradient of each, a
weight's gradient before it is added to the one that is kept. Those of a mini-batch of 1,024 rows come to several times
what a core's cache holds. Here a layer has its values and their gradient, both changed in place, and gradients of
weights are added where they are kept. With numba all of them are one compiled call (`engine.plan`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mamdr.engine import compiled
from mamdr.engine.arena import Workspace
from mamdr.engine.dropout import pass_back_, relu_dropout_
from mamdr.models.layers import Dense, Layered, ReLUDropout


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


class Tower:
    """A module's layers, trained in one go.

    Args:
        module: whose layers `is_tower` has found fit; they are to stay the same.
        workspace: where values are kept until the way back is over.
    """

    def __init__(self, module: Layered, workspace: Workspace) -> None:
        self.module, self.workspace = module, workspace
        parts = _parts(module)
        self.dense: list[Dense] = parts[::2]
        self.after: list[ReLUDropout | None] = [*parts[1::2], None][: len(self.dense)]
        self.weights: list[Any] = [dense.weight for dense in self.dense]
        self.biases: list[Any] = [dense.bias for dense in self.dense]
        self.sizes = [dense.out_features for dense in self.dense]
        self._hooks = [
            hooks
            for part in (module.layers, *parts)
            for hooks in (
                *(part._forward_hooks, part._forward_pre_hooks),
                *(part._backward_hooks, part._backward_pre_hooks),
            )
        ]

    def through(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        """What `module.through` comes to. On the way back the weights' `grad`, which they must have, are added to.

        Where somebody may look in between (a hook), or values are not float32 on a CPU, it is `module.through`.
        """
        if not (torch.is_grad_enabled() and rows.dtype == torch.float32 and rows.device.type == "cpu"):
            return Layered.through(self.module, rows, constant)
        if torch.is_autocast_enabled("cpu") or self._is_watched():
            return Layered.through(self.module, rows, constant)
        out: Tensor = _Through.apply(rows, constant, self.weights[0], self)  # type: ignore[no-untyped-call]
        return out

    def _is_watched(self) -> bool:
        """Whether a layer has a hook, or a parameter that is frozen or has one: then it is to be called itself."""
        return any(self._hooks) or any(
            p.grad is None or p._backward_hooks for p in (*self.weights, *self.biases)
        )

    def rates(self) -> list[float | None]:
        """By layer, of dropout after a ReLU, 0 for none; None for no ReLU, which only the last may be without."""
        return [None if after is None else after.p if after.training else 0.0 for after in self.after]


def _parts(module: Layered) -> list[Any]:
    return [module.first, *module.layers]


class _Through(torch.autograd.Function):
    """Rows [B, V] and what is the same for all of them, [1, C], through layers."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, constant: Tensor | None, weight: Tensor, tower: Tower) -> Tensor:
        ctx.tower, ctx.rates = tower, tower.rates()
        ctx.plan = _plan(tower, rows, constant, ctx.rates)
        planned = ctx.plan is not None
        values = [rows, ctx.plan.forward()] if planned else _forward(tower, rows, constant, ctx.rates)
        ctx.save_for_backward(constant, *values)
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        constant, *values = ctx.saved_tensors
        if ctx.rates[-1] is not None:
            grad = grad.clone(memory_format=torch.contiguous_format)  # another's, not to be changed
        wanted = ctx.needs_input_grad[:2]
        if ctx.plan is None:
            return *_backward(ctx.tower, grad, constant, values, ctx.rates, wanted), None, None
        return *ctx.plan.backward(grad, *wanted), None, None


def _plan(tower: Tower, rows: Tensor, constant: Tensor | None, rates: Sequence[float | None]) -> Any:
    """To go through layers compiled, or None."""
    loops = compiled.loops()
    if loops is None or loops.through is None:
        return None
    from mamdr.engine.plan import plan_of  # imports numba, as those who loaded the loops have

    return plan_of(loops, tower, rows, constant, rates)


def _forward(
    tower: Tower, rows: Tensor, constant: Tensor | None, rates: Sequence[float | None]
) -> list[Tensor]:
    """The rows, and each layer's values."""
    values = [rows]
    for index, (dense, rate) in enumerate(zip(tower.dense, rates, strict=True)):
        given, bias = values[-1], dense.bias.detach()
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
    tower: Tower,
    grad: Tensor,
    constant: Tensor | None,
    values: Sequence[Tensor],
    rates: Sequence[float | None],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of rows and constant; those of weights and biases are added to."""
    of_rows, of_constant = wanted
    for index in reversed(range(len(rates))):
        weight, bias, given, rate = tower.weights[index], tower.biases[index], values[index], rates[index]
        if rate is not None:
            pass_back_(grad, values[index + 1], rate)
        width, sums = given.shape[1], grad.sum(0)
        bias.grad.add_(sums)
        weight.grad[:, :width].addmm_(grad.t(), given)
        if not index and constant is not None:
            weight.grad[:, width:].addr_(sums, constant[0])
        if index or of_rows:
            grad = grad @ weight[:, :width]
    back = (sums @ tower.weights[0][:, width:]).unsqueeze(0) if of_constant else None
    return grad if of_rows else None, back
