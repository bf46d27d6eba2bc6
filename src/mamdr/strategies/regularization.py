"""Domain Regularization."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Moments, Overlay, Point, Store, push_all
from mamdr.seeds import derive, generator, generators
from mamdr.strategies.budget import Cap, Helpers, helpers_of, steps_of
from mamdr.strategies.chains import Chain, outcomes_of
from mamdr.strategies.negotiation import InnerState
from mamdr.strategies.protocol import Leg, Problem, Run, State, Walk
from mamdr.strategies.tally import Tally

_TOGETHER = 4096
"""Domains whose walks are asked for at once: enough to share out, and a bound on what is described beforehand."""

_LONGEST_REST = 8
"""Rounds."""


@component
class DomainRegularization:
    r"""Train each domain's specific parameters with the help of other domains.

    For a domain i and each of its helpers j, walk over j and then i, and keep a share of the displacement:

        θ_i ← θ_i + specific_lr · walk(θ_S + θ_i, [j, i])

    With `keep` below 1 each round starts from keep · θ_i: what a specific part learned beside older shared parameters
    fades, so that it does not grow with the number of rounds (the paper's does, and over-fits when rounds are many).

    Args:
        num_helpers: k >= 0, helpers drawn per domain and round without replacement (all others if there are fewer);
            "auto" chooses by the domains' sizes (`strategies.budget`).
        specific_lr: γ in [0, 1], the share kept.
        keep: in [0, 1], the share of a specific part that a round starts from; 1 is the paper's.
        include_self: the domain itself is its own last helper, as in the authors' code.
        inner_state: "fresh" starts the inner optimizer anew at each walk; domains are then independent. "kept" hands
            one optimizer from walk to walk, and everything runs in turn, domain by domain, in the order that Domain
            Negotiation draws (as the authors' code does); rows outside a walk rest, whatever is remembered of them.
        helper_steps: at most so many mini-batches on a helper; None is a whole pass, and "auto" as many as let a round
            cost one pass over all domains (`strategies.budget`).
        own_steps: the same of mini-batches on the domain itself.
        shuffle: with "kept" go through domains in Domain Negotiation's order, drawn anew each round; otherwise in that
            of the data. With "fresh" the order makes no difference.
        backoff: leave out a domain whose part was dropped after the last round that walked for it (`train.shrink` chose
            a share of 0), for 1 round, then, if it is dropped again, for 2, 4 and at most 8: where the shared
            parameters have all that a domain needs, a round costs hardly more than theirs.
        rows: "touched" keeps every row a walk moved, "own" only rows that the domain's own data touch.
        start: "zero", so that an unseen domain is served by shared alone; or "random", as in the authors' code: an
            independent draw per domain (here the module's first values in random order within each parameter).

    Cost: num_helpers · (passes over helpers + passes over the domain) for each domain and round; O(kn). A specific part
    holds P values and the rows kept.
    Reads shared, writes specific parts only. Running statistics stay those of the shared parameters' walks; where there
    are none of these, they become the mean of those that its own walks end with, row by row (`MeanBuffers`).
    Reference: MAMDR, section IV-B, Algorithm 2.
    Differs from the authors' code: see `include_self`, `inner_state` and `start`, and `MAMDR.authors`.
    """

    num_helpers: Helpers = 3
    specific_lr: Annotated[float, Field(ge=0, le=1)] = 0.1
    keep: Annotated[float, Field(ge=0, le=1)] = 1.0
    include_self: bool = False
    inner_state: InnerState = "fresh"
    helper_steps: Cap = None
    own_steps: Cap = None
    shuffle: bool = True
    backoff: bool = False
    rows: Literal["touched", "own"] = "touched"
    start: Literal["zero", "random"] = "zero"
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        if self.start == "random":
            for domain in range(len(problem.sizes)):
                Overlay(state.shared, state.specific, domain).push(_shuffled(state, domain), 1.0)
        return state

    def helpers(self, state: State, problem: Problem, domain: int) -> list[int]:
        """This round's helpers of a domain, in the order of their walks."""
        return self._drawn(state, problem, [domain], helpers_of(self.num_helpers, problem))[domain]

    def _drawn(
        self, state: State, problem: Problem, domains: Sequence[int], wanted: int
    ) -> dict[int, list[int]]:
        seeds = [derive(state.seed, "helpers", state.round, domain) for domain in domains]
        pairs = zip(domains, generators(seeds), strict=True)
        return {domain: self._of_others(problem.trainable, domain, draw, wanted) for domain, draw in pairs}

    def _of_others(
        self, known: Sequence[int], domain: int, draw: np.random.Generator, wanted: int
    ) -> list[int]:
        own = bisect_left(known, domain)  # its place among them, which the others' numbers leave out
        others = len(known) - (known[own : own + 1] == (domain,))
        count = min(wanted, others)
        chosen = draw.choice(others, size=count, replace=False).tolist() if others else []
        places = (index if others == len(known) or index < own else index + 1 for index in chosen)
        return [known[place] for place in places] + ([domain] if self.include_self else [])

    def round(self, state: State, problem: Problem, run: Run) -> State:
        domains = (
            [d for d in problem.trainable if self._awake(state, d)] if self.backoff else problem.trainable
        )
        return self.round_of(state, problem, run, domains)

    def _awake(self, state: State, domain: int) -> bool:
        """Whether this round walks for a domain's part; keeps account of its rests."""
        wait, due = state.backoff.get(domain, (0, state.round))
        if due is None and domain not in state.specific:  # walked for in the last round, and dropped
            wait = min(max(1, 2 * wait), _LONGEST_REST)
            due = state.round + wait
        elif due is None:
            wait = 0
        awake = due is None or due <= state.round
        state.backoff[domain] = (wait, None if awake else due)
        return awake

    def round_of(self, state: State, problem: Problem, run: Run, domains: Sequence[int]) -> State:
        """A round of these domains alone; all others keep what they have, and help as ever.

        Args:
            domains: with training rows; a round of all that have some is `round`.
        """
        wanted = helpers_of(self.num_helpers, problem)
        caps = [steps_of(cap, problem, wanted) for cap in (self.helper_steps, self.own_steps)]
        helpers = self._drawn(state, problem, domains, wanted)
        kept = state.moments.setdefault("inner", Moments()) if self.inner_state == "kept" else None
        if self.keep < 1:
            for domain in domains:
                self._store(state, problem, domain).fade(self.keep)
        tally = Tally.of_specific(state)
        for group in self._groups(state, helpers):
            chains = [self._chain(state, problem, domain, drawn, caps, kept) for domain, drawn in group]
            ordered = tally.buffers is not None  # running statistics are added up in one order
            for come in outcomes_of(run, chains, ordered):
                stores = (self._store(state, problem, group[number][0]) for number, _ in come)
                moved = (outcome.displacement for _, outcome in come)
                push_all(list(zip(stores, moved, strict=True)), self.specific_lr)
                for _, outcome in come:
                    if kept is not None and outcome.moments is not None:
                        kept.put(outcome.moments)
                    tally.add(outcome)
        tally.write(state, "specific")
        return state

    def _groups(
        self, state: State, helpers: dict[int, list[int]]
    ) -> Iterator[list[tuple[int, list[tuple[int, int]]]]]:
        """Domains whose walks do not depend on each other, each with its helpers and the turns at which they come."""
        drawn = [(domain, list(enumerate(chosen))) for domain, chosen in helpers.items() if chosen]
        if self.inner_state == "fresh":
            yield from (drawn[start : start + _TOGETHER] for start in range(0, len(drawn), _TOGETHER))
            return
        if self.shuffle:
            generator(state.seed, "order", state.round).shuffle(drawn)
        for domain, turns in drawn:  # each walk needs the moments of the last one
            yield from ([(domain, [turn])] for turn in turns)

    def _chain(
        self,
        state: State,
        problem: Problem,
        domain: int,
        turns: Sequence[tuple[int, int]],
        caps: Sequence[int | None],
        kept: Moments | None,
    ) -> Chain:
        store = self._store(state, problem, domain)
        walks = (
            Walk(
                store,
                (Leg((helper,), caps[0]), Leg((domain,), caps[1])),
                derive(state.seed, "regularization", state.round, domain, turn),
                kept,
                state.buffers,
            )
            for turn, helper in turns
        )
        return Chain(tuple(walks), self.specific_lr)

    def _store(self, state: State, problem: Problem, domain: int) -> Overlay:
        rows = problem.own_rows(domain) if self.rows == "own" else None
        return Overlay(state.shared, state.specific, domain, rows)

    def params_for(self, state: State, domain: int) -> Store:
        return Overlay(state.shared, state.specific, domain, share=state.shares.get(domain, 1.0))


def _shuffled(state: State, domain: int) -> Point:
    """The shared parameters' first values, in random order within each parameter that may be specific."""
    space = state.space
    point = state.shared.pull(space.all_ids()).keep_only(space.specific)
    random = torch.Generator().manual_seed(derive(state.seed, "start", domain))
    parts = [point.parameter(index) for index in range(len(space.dense))]
    for values in (*parts, *(point.rows(table) for table in range(len(space.tables)))):
        flat = values.reshape(-1)
        values.copy_(flat[torch.randperm(len(flat), generator=random)].view_as(values))
    return point
