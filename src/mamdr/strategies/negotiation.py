"""Domain Negotiation, and Alternate training, which it is with outer_lr 1."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Ahead, Moments, Store
from mamdr.parameters.outer import SGD, Adagrad, Adam, Nesterov, Outer
from mamdr.seeds import derive, generator
from mamdr.strategies.averaging import Averaging, Lead, ahead_of, average
from mamdr.strategies.protocol import Leg, Problem, Run, State, Walk
from mamdr.strategies.tally import Tally

Steps = Annotated[int, Field(ge=1)] | None
InnerState = Literal["fresh", "kept"]


@component
class DomainNegotiation:
    r"""Train the shared parameters so that domains agree.

    One walk over every domain in random order, and a share of its displacement:

        θ_S ← θ_S + outer_lr · walk(θ_S, [shuffled domains])

    To first order in the inner rate the displacement is −α (Σ ḡ_i − α Σ_i Σ_{j<i} H̄_i ḡ_j), whose second term raises
    the inner products between domains' gradients (Equations 9 to 21).

    Args:
        outer_lr: β in [0, 10]; 1 is Alternate training, 0 changes nothing. Read when `outer` is None.
        outer: another outer optimizer than the paper's SGD; it brings its own rate.
        inner_state: "fresh" starts the inner optimizer anew at each walk (then walks are independent); "kept" goes on
            from round to round, as the authors' code does.
        steps: at most so many mini-batches a domain; None is a whole pass.
        shuffle: draw the order of domains anew each round; otherwise it is the order of the data.
        averaging: w in [0, 1): θ_S is a mean of rounds, and training goes on ahead of it (`strategies.averaging`); 0,
            the paper's, averages nothing.
        lead: ρ in [0, 1]: with averaging, how far from the mean towards a round's end the next round starts.

    Cost: one pass over every domain a round, O(n).
    Reference: MAMDR, section IV-A, Algorithm 1.
    Differs from the paper: an update on T^j is a pass of mini-batches, as in the authors' code. Differs from the
    authors' code: the inner optimizer starts fresh by default.
    """

    outer_lr: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.1
    outer: SGD | Nesterov | Adagrad | Adam | None = None
    inner_state: InnerState = "fresh"
    steps: Steps = None
    shuffle: bool = True
    averaging: Averaging = 0.0
    lead: Lead = 1.0
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def order(self, state: State, problem: Problem) -> list[int]:
        """The order of this round's legs."""
        domains = list(problem.trainable)
        if self.shuffle:
            generator(state.seed, "order", state.round).shuffle(domains)
        return domains

    def legs(self, state: State, problem: Problem) -> tuple[Leg, ...]:
        """This round's legs."""
        return tuple(Leg((domain,), self.steps) for domain in self.order(state, problem))

    def round(self, state: State, problem: Problem, run: Run) -> State:
        rule = self.outer if self.outer is not None else SGD(lr=self.outer_lr)
        legs = self.legs(state, problem)
        return walk_shared(state, run, legs, rule, self.inner_state, self.averaging, self.lead)

    def next_walk(self, state: State, problem: Problem) -> Walk:
        """The walk of the round after this one, whose own is over and pushed."""
        coming = replace(state, round=state.round + 1)
        return shared_walk(coming, self.legs(coming, problem), self.inner_state, self.averaging)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared


@component
class Alternate(DomainNegotiation):
    """Train on one domain after another, as everyone does: Domain Negotiation with outer_lr 1 and one kept optimizer.

    Cost: one pass over every domain a round.
    Reference: MAMDR, sections IV-A and IV-C (Figure 5 b).
    """

    outer_lr: Annotated[float, Field(ge=1, le=1)] = 1.0
    inner_state: InnerState = "kept"


def shared_walk(state: State, legs: tuple[Leg, ...], inner_state: InnerState, averaging: float) -> Walk:
    """This round's walk of the shared parameters, or, with averaging, of what leads ahead of them."""
    kept = state.moments.setdefault("inner", Moments()) if inner_state == "kept" else None
    seed = derive(state.seed, "negotiation", state.round)
    store = ahead_of(state) if averaging else state.shared
    return Walk(store, legs, seed, kept, state.buffers, state.memory)


def walk_shared(
    state: State,
    run: Run,
    legs: tuple[Leg, ...],
    rule: Outer,
    inner_state: InnerState,
    averaging: float = 0.0,
    lead: float = 1.0,
) -> State:
    """One walk of the shared parameters over the legs, its displacement taken in by an outer optimizer.

    Args:
        averaging: w of `strategies.averaging`; 0 leaves the parameters where the walks lead.
        lead: its ρ.
    """
    walk = shared_walk(state, legs, inner_state, averaging)
    ahead, kept = walk.store if isinstance(walk.store, Ahead) else None, walk.moments
    tally = Tally()
    for outcome in run([walk]):
        outer = state.moments.setdefault("outer", Moments())
        if ahead is None:
            state.shared.push_by(rule, outcome.displacement, outer)
            state.buffers = state.buffers | outcome.buffers
        else:
            ahead.push(rule.update(outcome.displacement, outer), 1.0)
            average(state, ahead, outcome.buffers, averaging, lead)
        state.memory = state.memory | outcome.memory
        if kept is not None and outcome.moments is not None:
            kept.put(outcome.moments)
        tally.add(outcome)
    tally.write(state, "shared")
    return state
