"""A round of one walk a domain, all from the same point, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mamdr.parameters import Moments
from mamdr.parameters.outer import Outer
from mamdr.seeds import derive, generator
from mamdr.strategies.mean import MeanBuffers, MeanPoint
from mamdr.strategies.negotiation import InnerState
from mamdr.strategies.protocol import Leg, Problem, Run, State, Walk
from mamdr.strategies.tally import Tally


def walk_side_by_side(
    state: State,
    problem: Problem,
    run: Run,
    method: str,
    leg: Callable[[int], Leg],
    rule: Outer,
    inner_state: InnerState,
) -> State:
    """One walk of the shared parameters for each domain; an outer optimizer takes in their mean displacement.

    Args:
        method: the walks' seeds are drawn for this purpose.
        leg: the leg that a domain's walk consists of.
        rule: the outer optimizer.
        inner_state: with "kept" one inner optimizer is handed from walk to walk, in an order drawn anew each round.
    """
    domains = problem.trainable
    if not domains:
        return state
    kept = state.moments.setdefault("inner", Moments()) if inner_state == "kept" else None
    mean = MeanPoint(state.space, [problem.own_rows(domain) for domain in domains])
    tally = Tally(MeanBuffers(state.buffers))
    for batch in _batches(state, domains, inner_state):
        seeds = {domain: derive(state.seed, method, state.round, domain) for domain in batch}
        walks = [Walk(state.shared, (leg(d),), seed, kept, state.buffers) for d, seed in seeds.items()]
        for outcome in run(walks):
            mean.add(outcome.displacement)
            if kept is not None and outcome.moments is not None:
                kept.put(outcome.moments)
            tally.add(outcome)
    state.shared.push_by(rule, mean.value(), state.moments.setdefault("outer", Moments()))
    tally.write(state, "shared")
    return state


def _batches(state: State, domains: Sequence[int], inner_state: InnerState) -> Iterator[tuple[int, ...]]:
    """Domains whose walks do not depend on each other."""
    if inner_state == "fresh":
        yield tuple(domains)
        return
    order = list(domains)  # each walk needs the moments of the last one
    generator(state.seed, "order", state.round).shuffle(order)
    yield from ((domain,) for domain in order)
