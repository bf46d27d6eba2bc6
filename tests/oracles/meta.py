"""MAML and MLDG as plain loops over whole parameters, from their papers alone (arXiv 1703.03400 and 1710.03463).

Parameters are a dict name -> full tensor, and a model is a function of them (`torch.func.functional_call`). Second
order is autograd through the unrolled loop, written out; first order is the papers' own short cut: the gradient at the
adapted parameters, taken for the one at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from tests.oracles.optimizers import Params
from torch import Tensor, nn

Batch = tuple[dict[str, Tensor], Tensor]
Step = tuple[Sequence[Batch], Sequence[Batch]]
"""What adapts and what judges, each a batch a domain."""


def loss_at(module: nn.Module, params: Params, batches: Sequence[Batch]) -> Tensor:
    """The mean over domains of the mean cross entropy of each one's batch."""
    losses = []
    for inputs, labels in batches:
        logits = torch.func.functional_call(module, params, (inputs,))
        losses.append(F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)))
    return torch.stack(losses).mean()


def cut(inputs: dict[str, Tensor], labels: Tensor, first: int) -> tuple[Batch, Batch]:
    """The first rows of a batch, and the others."""
    head = {name: column[:first] for name, column in inputs.items()}
    return (head, labels[:first]), ({name: column[first:] for name, column in inputs.items()}, labels[first:])


def slope(loss: Tensor, params: Params, graph: bool = False) -> Params:
    found = torch.autograd.grad(loss, list(params.values()), create_graph=graph, allow_unused=True)
    return {
        n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), found, strict=True)
    }


def leaves(params: Params) -> Params:
    return {name: value.detach().clone().requires_grad_() for name, value in params.items()}


def maml_gradient(
    module: nn.Module, params: Params, step: Step, rate: float, inner: int, order: int
) -> Params:
    """Algorithm 1, lines 5 to 8, of one task: ∇_θ L_query(θ'), where θ' is `inner` steps on the support away."""
    support, query = step
    start = leaves(params)
    adapted = start
    for _ in range(inner):
        gradient = slope(loss_at(module, adapted, support), adapted, graph=True)
        adapted = {name: adapted[name] - rate * gradient[name] for name in adapted}
    if order == 2:
        return slope(loss_at(module, adapted, query), start)
    adapted = leaves(adapted)
    return slope(loss_at(module, adapted, query), adapted)


def mldg_gradient(
    module: nn.Module, params: Params, step: Step, rate: float, beta: float, order: int
) -> Params:
    """Algorithm 1: the gradient of F(S̄; Θ) + β G(S̆; Θ − α ∇F(S̄; Θ)); without S̆ that of F."""
    train, test = step
    start = leaves(params)
    here = loss_at(module, start, train)
    if not test:
        return slope(here, start)
    gradient = slope(here, start, graph=True)
    ahead = {name: start[name] - rate * gradient[name] for name in start}
    if order == 2:
        return slope(here + beta * loss_at(module, ahead, test), start)
    ahead = leaves(ahead)
    beyond = slope(loss_at(module, ahead, test), ahead)
    return {name: gradient[name].detach() + beta * beyond[name] for name in start}


Gradient = Callable[[Params, Step], Params]
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


class Descent:
    """Steps of a torch optimizer along gradients that are handed in."""

    def __init__(self, make: MakeOptimizer, start: Params) -> None:
        self.values = {name: nn.Parameter(value.clone()) for name, value in start.items()}
        self.optimizer = make(list(self.values.values()))

    def walk(self, gradient: Gradient, steps: Iterable[Step]) -> Params:
        """Where the steps lead."""
        for step in steps:
            here = {name: value.detach() for name, value in self.values.items()}
            for name, found in gradient(here, step).items():
                self.values[name].grad = found
            self.optimizer.step()
        return {name: value.detach().clone() for name, value in self.values.items()}


def maml_round(
    make: MakeOptimizer, start: Params, gradient: Gradient, tasks: Sequence[Iterable[Step]], outer: float
) -> Params:
    """Each task's own descent from `start`, with an optimizer of its own, and `outer` of their mean displacement."""
    ends = [Descent(make, start).walk(gradient, steps) for steps in tasks]
    return {
        name: value + outer * torch.stack([end[name] - value for end in ends]).mean(0)
        for name, value in start.items()
    }
