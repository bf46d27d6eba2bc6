"""Reptile: domains as tasks, walked side by side, and their mean."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD, Adagrad, Adam, Nesterov
from mamdr.strategies.negotiation import InnerState, Steps
from mamdr.strategies.protocol import Leg, Problem, Run, State
from mamdr.strategies.side_by_side import walk_side_by_side


@component
class Reptile:
    r"""Train shared parameters from which each domain is learned quickly.

    One walk for each domain, all from the same point, and a share of their mean displacement:

        θ_S ← θ_S + outer_lr · (1/n) Σ_i walk(θ_S, [D^i])

    With Domain Negotiation it shares the outer loop alone: a walk stays in one domain, so the inner products that it
    raises are those of a domain's own batches (MAMDR, Figure 5 d), never those between domains.

    Args:
        outer_lr: ε in [0, 10]; 1 moves to the mean of the domains' ends. Read when `outer` is None.
        outer: another outer optimizer than SGD; it brings its own rate.
        inner_state: "fresh" starts the inner optimizer anew at each walk, and walks are independent; "kept" hands one
            optimizer from walk to walk, in turn, in an order drawn anew each round.
        steps: at most so many mini-batches a domain (the paper's k); None is a whole pass.

    A row that few of many domains touch moves by its displacement over n, as the mean says. Running statistics become
    the mean of those that the walks end with (batch normalisation), or those of the domain's own walk where a model
    keeps them by domain.

    Support and query are not split: every row trains (MAMDR, section V-G).

    Cost: one pass over every domain a round, O(n). Memory: one point over the rows of all domains beside the walk's.
    Reference: Nichol, Achiam and Schulman, On First-Order Meta-Learning Algorithms, arXiv 1803.02999, section 2, the
    batched version; MAMDR, section V-B.
    Differs from the paper: every domain is walked each round, where tasks are sampled; outer_lr does not decay.
    """

    outer_lr: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 1.0
    outer: SGD | Nesterov | Adagrad | Adam | None = None
    inner_state: InnerState = "fresh"
    steps: Steps = None
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        rule = self.outer if self.outer is not None else SGD(lr=self.outer_lr)
        return walk_side_by_side(state, problem, run, "reptile", self._leg, rule, self.inner_state)

    def _leg(self, domain: int) -> Leg:
        return Leg((domain,), self.steps)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared
