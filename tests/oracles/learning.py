"""The learning methods of the paper as plain loops over deep copies: slow, whole tables, nothing clever.

Written from Algorithms 1, 2 and 3 of MAMDR (ICDE 2023) alone. A model is any module with `forward(batch)
-> logits`; its parameters are handled as a dict name -> full tensor, and a domain's specific part is such
a dict, zero at the start. One "update on T^j" is one pass over the batches that the caller hands in, so a
test decides every batch, every domain order and every helper, and can hand in those that the library
drew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from tests.oracles.optimizers import Params, Rule, Sgd, push
from torch import Tensor, nn

Batch = dict[str, Tensor]
Batches = Iterable[tuple[Batch, Tensor]]
MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Pass:
    """Which pass over a domain this is, so that a test can find the batches the library used for it.

    Attributes:
        round: from 0.
        method: "alternate", "dn" or "dr".
        leg: the position of the leg in its walk, from 0; in DR 0 is the helper's leg and 1 the target's.
        target: in DR the domain whose specific part is trained, else None.
        helper: in DR the position of the helper in the list drawn for the target, else None.
    """

    round: int
    method: str
    leg: int
    target: int | None = None
    helper: int | None = None


Source = Callable[[int, Pass], Batches]
"""(domain, pass) -> the batches and labels of that pass, in order."""


def parameters_of(module: nn.Module) -> Params:
    """A deep copy of every trainable parameter by name (a tied weight once)."""
    return {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}


def zeros_like(params: Mapping[str, Tensor]) -> Params:
    return {name: torch.zeros_like(value) for name, value in params.items()}


def add(left: Mapping[str, Tensor], right: Mapping[str, Tensor], scale: float = 1.0) -> Params:
    """left + scale · right."""
    return {name: value + scale * right[name] for name, value in left.items()}


def loss_of(module: nn.Module, batch: Batch, labels: Tensor) -> Tensor:
    """Mean binary cross entropy of the logits."""
    return F.binary_cross_entropy_with_logits(module(batch), labels)


def predict(module: nn.Module, params: Mapping[str, Tensor], batch: Batch) -> Tensor:
    """Logits of a copy of the module at these parameters, in evaluation mode."""
    model = _at(module, params).eval()
    with torch.no_grad():
        logits: Tensor = model(batch)
    return logits


def _at(module: nn.Module, params: Mapping[str, Tensor]) -> nn.Module:
    model = copy.deepcopy(module)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in params:
                parameter.copy_(params[name])
    return model


class Walker:
    """The inner loop: from a start point over legs, with a torch optimizer over all of the weights.

    Args:
        module: the model; it is copied, never changed. Buffers keep their values from walk to walk.
        optimizer: parameters -> a torch optimizer.
        keep: one optimizer for all walks of this walker (the authors' code); else a fresh one for each walk.
    """

    def __init__(self, module: nn.Module, optimizer: MakeOptimizer, keep: bool = False) -> None:
        self.module = copy.deepcopy(module)
        self.make, self.keep = optimizer, keep
        self.kept: torch.optim.Optimizer | None = None

    def walk(self, start: Mapping[str, Tensor], legs: Iterable[Batches]) -> Params:
        """Where one pass over each leg, one after another, leads from `start`."""
        model = self.module
        model.train()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(start[name])
        optimizer = self._optimizer(model)
        for batches in legs:
            for batch, labels in batches:
                optimizer.zero_grad()
                loss_of(model, batch, labels).backward()
                optimizer.step()
        return parameters_of(model)

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        if self.kept is not None:
            return self.kept
        optimizer = self.make([p for p in model.parameters() if p.requires_grad])
        if self.keep:
            self.kept = optimizer
        return optimizer


def alternate(
    walker: Walker, start: Params, orders: Sequence[Sequence[int]], batches: Source
) -> list[Params]:
    """Alternate training: a pass over one domain after another, no outer loop. Θ after each round."""
    history, params = [], start
    for r, order in enumerate(orders):
        params = walker.walk(params, (batches(d, Pass(r, "alternate", leg)) for leg, d in enumerate(order)))
        history.append(params)
    return history


def means_of_rounds(history: Sequence[Params], weight: float) -> list[Params]:
    """After each round the mean of the rounds so far: plain while there are few, then with the past at `weight`."""
    means: list[Params] = []
    for count, params in enumerate(history, start=1):
        past = min(weight, 1 - 1 / count)
        before = means[-1] if means else params
        means.append({name: past * before[name] + (1 - past) * value for name, value in params.items()})
    return means


def led_rounds(
    walker: Walker,
    start: Params,
    orders: Sequence[Sequence[int]],
    batches: Source,
    outer: float,
    weight: float,
    lead: float,
) -> list[Params]:
    """The means of rounds, where each round starts between the mean (lead 0) and the end of the last one (lead 1)."""
    ends: list[Params] = []
    mean = begin = start
    means: list[Params] = []
    for round_, order in enumerate(orders):
        ends.append(negotiate(walker, begin, order, batches, Sgd(outer), round_))
        past = min(weight, 1 - 1 / len(ends))
        mean = {name: past * mean[name] + (1 - past) * value for name, value in ends[-1].items()}
        begin = {name: (1 - lead) * mean[name] + lead * value for name, value in ends[-1].items()}
        means.append(mean)
    return means


def negotiate(
    walker: Walker, shared: Params, order: Sequence[int], batches: Source, outer: Rule, round_: int = 0
) -> Params:
    """One epoch of Algorithm 1: Θ after the outer step (line 8), by Equation 3 or another rule."""
    end = walker.walk(shared, (batches(d, Pass(round_, "dn", leg)) for leg, d in enumerate(order)))
    return push(shared, add(end, shared, -1.0), outer)


def domain_negotiation(
    walker: Walker,
    start: Params,
    orders: Sequence[Sequence[int]],
    batches: Source,
    outer: float | Rule,
) -> list[Params]:
    """Algorithm 1, given each epoch's order of the domains. Θ after each epoch."""
    rule = Sgd(outer) if isinstance(outer, int | float) else outer
    history, shared = [], start
    for r, order in enumerate(orders):
        shared = negotiate(walker, shared, order, batches, rule, r)
        history.append(shared)
    return history


def regularize(
    walker: Walker,
    shared: Params,
    specific: Params,
    target: int,
    helpers: Sequence[int],
    batches: Source,
    specific_lr: float,
    round_: int = 0,
) -> Params:
    """Algorithm 2: θ_i after its k helpers. The walk is at θ_S + θ_i (Equation 4); θ_S is read only."""
    for h, helper in enumerate(helpers):
        start = add(shared, specific)
        end = walker.walk(
            start,
            (
                batches(domain, Pass(round_, "dr", leg, target, h))
                for leg, domain in enumerate((helper, target))
            ),
        )
        specific = add(specific, add(end, start, -1.0), specific_lr)
    return specific


def domain_regularization(
    walker: Walker,
    shared: Params,
    helpers: Sequence[Mapping[int, Sequence[int]]],
    batches: Source,
    specific_lr: float,
    specific: Mapping[int, Params] | None = None,
) -> list[dict[int, Params]]:
    """Algorithm 2 for every target, round after round, from the same shared parameters.

    Args:
        helpers: for each round, target -> its helpers, in order. Targets are trained in this order.
        specific: where the specific parts start; default zero for every target of the first round.
    """
    now = {t: zeros_like(shared) for t in helpers[0]} if specific is None else dict(specific)
    history = []
    for r, drawn in enumerate(helpers):
        for target, chosen in drawn.items():
            now[target] = regularize(walker, shared, now[target], target, chosen, batches, specific_lr, r)
        history.append(dict(now))
    return history


def mamdr(
    walker: Walker,
    start: Params,
    orders: Sequence[Sequence[int]],
    helpers: Sequence[Mapping[int, Sequence[int]]],
    batches: Source,
    outer: float | Rule,
    specific_lr: float,
) -> list[tuple[Params, dict[int, Params]]]:
    """Algorithm 3: in each epoch DN on θ_S, then DR on each θ_i. (θ_S, {i: θ_i}) after each epoch."""
    rule = Sgd(outer) if isinstance(outer, int | float) else outer
    shared = start
    specific = {d: zeros_like(start) for d in sorted({t for drawn in helpers for t in drawn})}
    history = []
    for r, (order, drawn) in enumerate(zip(orders, helpers, strict=True)):
        shared = negotiate(walker, shared, order, batches, rule, r)
        for i, chosen in drawn.items():
            specific[i] = regularize(walker, shared, specific[i], i, chosen, batches, specific_lr, r)
        history.append((shared, dict(specific)))
    return history


def equation_18(
    module: nn.Module,
    losses: Sequence[Callable[[nn.Module], Tensor]],
    order: Sequence[int],
    alpha: float,
) -> tuple[Params, Params]:
    r"""The two terms of Equation 18 at the module's own parameters.

    For one SGD step of rate α a domain, in this order,

        −(Θ̃_{n+1} − Θ)/α = Σ_i ḡ_i − α Σ_i Σ_{j<i} H̄_i ḡ_j + O(α²),

    where i and j are positions in the order. So displacement ≈ −α · (first − second), with an error of O(α³).

    Args:
        module: small and smooth, in float64.
        losses: domain -> (module -> its loss, a scalar).

    Returns:
        first: Σ_i ḡ_i, and second: α Σ_i Σ_{j<i} H̄_i ḡ_j, each by parameter name.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    parameters = [p for _, p in named]
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    for domain in order:
        gradient = _gradient(losses[domain](module), parameters, graph=True)
        inner = torch.stack([(g * before).sum() for g, before in zip(gradient, first, strict=True)]).sum()
        product = _gradient(inner, parameters, graph=False)
        second = [s + alpha * h for s, h in zip(second, product, strict=True)]
        first = [f + g.detach() for f, g in zip(first, gradient, strict=True)]
    names = [name for name, _ in named]
    return dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True))


def _gradient(value: Tensor, parameters: list[nn.Parameter], graph: bool) -> list[Tensor]:
    found = torch.autograd.grad(value, parameters, create_graph=graph, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]


def joint(walker: Walker, start: Params, passes: Sequence[Batches]) -> list[Params]:
    """Training on all domains mixed, given each epoch's batches. Θ after each epoch."""
    history, params = [], start
    for batches in passes:
        params = walker.walk(params, [batches])
        history.append(params)
    return history


def separate(
    walkers: Mapping[int, Walker], start: Params, rounds: int, batches: Source
) -> list[dict[int, Params]]:
    """One model a domain, each with a walker of its own. {i: Θ_i} after each epoch."""
    models = dict.fromkeys(walkers, start)
    history = []
    for r in range(rounds):
        for i, walker in walkers.items():
            models[i] = walker.walk(models[i], [batches(i, Pass(r, "separate", 0, i))])
        history.append(dict(models))
    return history


def reptile(
    walker: Walker,
    start: Params,
    orders: Sequence[Sequence[int]],
    batches: Source,
    outer: float | Rule,
) -> list[Params]:
    """Reptile, batched version (Nichol et al. 2018, section 2): φ ← φ + ε · (1/n) Σ_i (φ̃_i − φ). φ after each epoch."""
    rule = Sgd(outer) if isinstance(outer, int | float) else outer
    history, shared = [], start
    for r, order in enumerate(orders):
        total = zeros_like(shared)
        for i in order:
            total = add(total, add(walker.walk(shared, [batches(i, Pass(r, "reptile", 0, i))]), shared, -1.0))
        shared = push(shared, {name: value / len(order) for name, value in total.items()}, rule)
        history.append(shared)
    return history


def finetune(
    walker: Walker,
    served: Mapping[int, Params],
    batches: Source,
    passes: int,
    share: float = 1.0,
    round_: int = 0,
) -> dict[int, Params]:
    """Each domain's parameters trained further on its own data, or a share of the way there."""
    tuned = {}
    for i, start in served.items():
        end = walker.walk(start, [batches(i, Pass(round_, "finetune", leg, i)) for leg in range(passes)])
        tuned[i] = add(start, add(end, start, -1.0), share)
    return tuned
