"""MAML: domains as tasks, each judged after a step on it."""

from __future__ import annotations

import functools
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD, Adagrad, Adam, Nesterov
from mamdr.seeds import derive
from mamdr.strategies.negotiation import InnerState, Steps
from mamdr.strategies.protocol import Leg, Meta, Problem, Run, State
from mamdr.strategies.side_by_side import walk_side_by_side

AheadRate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
Order = Literal[1, 2]


@component
class MAML:
    r"""Train shared parameters that do well on each domain after a step on that domain.

    The rows of a domain i are parted into support S_i and query Q_i. One walk for each domain, all from the same point,
    and a share of their mean displacement, as Reptile; but a walk steps down the gradient of what a step would bring:

        θ' = θ − rate · ∇L(θ; a mini-batch of S_i)                 inner_steps times, on the same mini-batch
        step down  ∇_θ L(θ'; a mini-batch of Q_i)                  order 2
        step down  ∇_θ' L(θ'; a mini-batch of Q_i)                 order 1, FOMAML

    With `steps` 1 and inner SGD of rate β the round is the paper's θ ← θ − outer_lr · β · (1/n) Σ_i ∇_θ L_i(θ').
    To first order in `rate` a domain's displacement has −H_i(query) g_i(support) (order 2: and its transpose), never
    the gradient of another domain: MAMDR, Figure 5 (c).

    Args:
        outer_lr: in [0, 10]; 1 moves to the mean of the domains' ends. Read when `outer` is None.
        outer: another outer optimizer than SGD; it brings its own rate.
        inner_state: "fresh" starts the optimizer of a walk's steps anew, and walks are independent; "kept" hands one
            from walk to walk, in turn, in an order drawn anew each round.
        steps: at most so many mini-batches a domain; None is a whole pass over support and query.
        share: of a domain's rows that are support, in (0, 1).
        resplit: draw the support rows anew each round; otherwise they are the same throughout a run.
        rate: α of θ', in (0, 10]; always plain SGD.
        inner_steps: of θ', >= 1.
        order: 1 or 2.

    A mini-batch has `batch_size` rows in all, `share` of them support, and a pass takes every row once. The support has
    at least one row and the query too, so a domain of two rows has one of each; a domain of one row has it in both.
    Dropout is on in both, with masks of their own; running statistics see both and the round takes their mean, as
    Reptile's. `embedding_l2` is added to the gradient that the walk steps down, for the rows of both.

    Cost: one pass over every domain a round, O(n), and inner_steps − 1 more over the support; order 2 takes about
    twice as long. Memory: as Reptile, and beside a walk θ': P values and the rows of a mini-batch.
    Reference: Finn, Abbeel and Levine, Model-Agnostic Meta-Learning, arXiv 1703.03400, Algorithm 1 and section 5.2
    (first order); MAMDR, section V-B and Figure 5 (c).
    Differs from the paper: every domain takes part each round, where tasks are sampled; the mean of the domains, where
    it has the sum; a walk takes many steps before the domains meet, unless `steps` is 1. Differs from the authors'
    code: that adapts by a pass over the support with the run's Adam, adds up the gradients of the query at the end of
    it, and takes one Adam step after each domain; its published configuration has a share of 0.2.
    """

    outer_lr: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0
    outer: SGD | Nesterov | Adagrad | Adam | None = None
    inner_state: InnerState = "fresh"
    steps: Steps = None
    share: Share = 0.8
    resplit: bool = False
    rate: AheadRate = 0.1
    inner_steps: Annotated[int, Field(ge=1)] = 1
    order: Order = 1
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        rule = self.outer if self.outer is not None else SGD(lr=self.outer_lr)
        leg = functools.partial(self._leg, state)
        return walk_side_by_side(state, problem, run, "maml", leg, rule, self.inner_state)

    def _leg(self, state: State, domain: int) -> Leg:
        when = (state.round,) if self.resplit else ()
        seed = derive(state.seed, "support", domain, *when)
        meta = Meta("rows", self.share, self.rate, self.inner_steps, self.order, seed=seed)
        return Leg((domain,), self.steps, meta=meta)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared
