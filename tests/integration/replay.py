"""Feeds the oracles with the very batches, orders and helpers that the library drew."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from tests.oracles import learning
from tests.oracles.learning import Batch, Params, Pass, Source
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner, trace
from mamdr.engine.matmul import Matmul
from mamdr.parameters import LocalStore
from mamdr.seeds import derive, generator
from mamdr.strategies import DomainNegotiation, DomainRegularization, Leg, Problem, State, Walk

SEED = 1


def batches_of(data: Dataset, walk: Walk, number: int, size: int) -> Iterator[tuple[Batch, Tensor]]:
    """What the library trains on in a leg of a walk."""
    leg = walk.legs[number]
    drawn = data.train.batches(leg.domains, size, generator(walk.seed, "batches", number))
    for step, pair in enumerate(drawn):
        if leg.steps is None or step < leg.steps:
            yield pair


def source(data: Dataset, size: int, dtype: torch.dtype) -> Source:
    """The batches of each pass that an oracle asks for."""

    def find(domain: int, which: Pass) -> Iterator[tuple[Batch, Tensor]]:
        if which.method == "dr":
            assert which.target is not None
            assert which.helper is not None
            seed = derive(SEED, "regularization", which.round, which.target, which.helper)
        else:
            seed = derive(SEED, "negotiation", which.round)
        drawn = data.train.batches([domain], size, generator(seed, "batches", which.leg))
        return ((batch, labels.to(dtype)) for batch, labels in drawn)

    return find


def _problem(data: Dataset) -> Problem:
    sizes = tuple(data.train.size(domain) for domain in range(len(data.schema.domains)))
    return Problem(sizes, lambda domain: ())


def _state(module: nn.Module, data: Dataset, round_: int) -> State:
    return State(LocalStore.of(module, trace(module, data.schema)), round=round_, seed=SEED)


def orders(module: nn.Module, data: Dataset, rounds: int) -> list[list[int]]:
    """Each round's order of the domains."""
    return [DomainNegotiation().order(_state(module, data, r), _problem(data)) for r in range(rounds)]


def helpers(
    module: nn.Module, data: Dataset, rounds: int, strategy: DomainRegularization
) -> list[dict[int, list[int]]]:
    """Each round's helpers of every domain that has training rows."""
    problem = _problem(data)
    return [
        {i: strategy.helpers(_state(module, data, r), problem, i) for i in problem.trainable}
        for r in range(rounds)
    ]


def torch_optimizer(rule: inner.Inner, *, fused: bool = False) -> learning.MakeOptimizer:
    """The optimizer of torch that an inner optimizer must equal."""
    match rule:
        case inner.SGD(lr=lr):
            return lambda parameters: torch.optim.SGD(parameters, lr=lr)
        case inner.Adam(lr=lr, beta1=b1, beta2=b2, eps=eps):
            return lambda parameters: torch.optim.Adam(
                parameters, lr=lr, betas=(b1, b2), eps=eps, fused=fused
            )
        case inner.Adagrad(lr=lr, eps=eps):
            return lambda parameters: torch.optim.Adagrad(parameters, lr=lr, eps=eps)
    raise AssertionError(rule)


def plain_walk(
    module: nn.Module,
    data: Dataset,
    options: WalkOptions,
    walk: Walk,
    make: learning.MakeOptimizer | None = None,
) -> tuple[Params, nn.Module]:
    """The same walk by the plain module under a torch optimizer: its displacement, and the module at its end."""
    model = copy.deepcopy(module).train()
    start = learning.parameters_of(model)
    make = torch_optimizer(options.inner, fused=True) if make is None else make
    optimizer = make([p for p in model.parameters() if p.requires_grad])
    matmul = Matmul()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(walk.seed, "torch"))
        for number in range(len(walk.legs)):
            for batch, labels in batches_of(data, walk, number, options.batch_size):
                matmul.use(len(labels) == options.batch_size)  # the same library, for the same bits
                optimizer.zero_grad()
                dtype = next(iter(start.values())).dtype
                learning.loss_of(model, batch, labels.to(dtype)).backward()
                optimizer.step()
    matmul.restore()
    return learning.add(learning.parameters_of(model), start, -1.0), model


def legs(*domains: int, steps: int | None = None) -> tuple[Leg, ...]:
    return tuple(Leg((domain,), steps) for domain in domains)
