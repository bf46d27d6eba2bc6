"""MLDG: steps on some domains judged on others."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD
from mamdr.strategies.maml import AheadRate, Order, Share
from mamdr.strategies.negotiation import InnerState, Steps, walk_shared
from mamdr.strategies.protocol import Leg, Meta, Problem, Run, State


@component
class MLDG:
    r"""Train shared parameters so that a step on some domains helps others.

    Each mini-batch has rows of all domains mixed, and at every step its domains are parted at random into meta-train
    and virtual test domains. With F the loss on the former and G on the latter, each the mean over its domains of their
    mean losses, the walk steps down the gradient of

        F(θ) + weight · G(θ − rate · ∇F(θ))

    which is to first order F + weight · G − weight · rate · ⟨∇G, ∇F⟩: inner products between domains are raised, as in
    Domain Negotiation, by pairs of groups drawn anew at each step.

    Args:
        test_share: of a mini-batch's domains that are virtual test domains, in (0, 1); both groups have one at least.
            A mini-batch of one domain trains by F alone.
        rate: α, in (0, 10].
        weight: β of the virtual test domains' loss, in [0, 10].
        order: 2 differentiates through the step, as the paper; 1 takes ∇G at θ − rate · ∇F(θ) for it, at about half
            the cost.
        inner_state: "kept" goes on with one optimizer of the walk's steps from round to round, as everyone does;
            "fresh" starts it anew each round.
        steps: at most so many mini-batches a round; None is a whole pass.

    Dropout is on in F and G, with masks of their own; running statistics see both. `embedding_l2` is added to the
    gradient that the walk steps down.

    Cost: one pass over every domain a round, O(n), however the domains are parted; order 2 takes about twice as long.
    Memory: one walk over every row that any domain touches, and P values and the rows of a mini-batch.
    Reference: Li, Yang, Song and Hospedales, Learning to Generalize, arXiv 1710.03463, Algorithm 1; MAMDR, section V-B.
    Differs from the paper: a mini-batch is drawn from the rows of all domains, so that it fits any number of them,
    where theirs has rows of each. Differs from the MAMDR authors' code: that parts each domain's own rows and never
    sets one domain against another, is of first order, and takes its virtual step by the Adam of the real ones.
    """

    test_share: Share = 0.25
    rate: AheadRate = 0.1
    weight: Annotated[float, Field(ge=0, le=10)] = 1.0
    order: Order = 2
    inner_state: InnerState = "kept"
    steps: Steps = None
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        meta = Meta("domains", 1 - self.test_share, self.rate, 1, self.order, own=1.0, ahead=self.weight)
        legs = (Leg(problem.trainable, self.steps, meta=meta),) if problem.trainable else ()
        return walk_shared(state, run, legs, SGD(lr=1.0), self.inner_state)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared
