"""Training on one gradient that is made of every domain's."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SkipValidation

from mamdr.combiners import Combiner
from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD
from mamdr.strategies.negotiation import InnerState, Steps, walk_shared
from mamdr.strategies.protocol import Leg, Problem, Run, State


@component
class Combined:
    r"""Train the shared parameters on mixed mini-batches, each domain's gradient taken apart and combined again.

    One walk over one leg that holds every domain's rows in random order, as `Joint`, and all of its displacement. For
    the domains i that have rows in a mini-batch, with g_i the gradient of the mean loss of i's rows, a step goes down

        g = Σ_i w_i · g_i,     w = the combiner's weights

    by the run's inner optimizer. A domain without rows in a mini-batch has no part in that step.

    Args:
        combiner: how w is found; a recipe names it as the strategy, with its settings beside these.
        inner_state: "kept" goes on with one inner optimizer from round to round, as everyone does; "fresh" starts it
            anew each round. What the combiner has learned is kept always.
        steps: at most so many mini-batches a round; None is a whole pass.

    Cost: one pass over every domain a round, O(n). A combiner that needs losses alone has one forward and backward
    pass a mini-batch; one that needs inner products has one for each of the G domains in it, on that domain's rows,
    and their G² inner products. Memory of the latter: G · P values, and the table rows that a mini-batch touches,
    once for each domain that touches them; never a table.
    Gradients of table rows count in inner products as those of dense parameters do. The penalty `embedding_l2` is no
    domain's loss: its gradient is added to the combined one, unweighted. With inner products, batch normalisation
    takes the statistics of each domain's rows by themselves; dropout draws for each domain.
    Reference: the combiners'. MAMDR, section V-B, compares with two of them (Weighted Loss and PCGrad).

    >>> from mamdr.combiners import PCGrad
    >>> Combined(PCGrad(), steps=10).inner_state
    'kept'
    """

    combiner: SkipValidation[Combiner]
    inner_state: InnerState = "kept"
    steps: Steps = None
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        legs = (Leg(problem.trainable, self.steps, self.combiner),) if problem.trainable else ()
        return walk_shared(state, run, legs, SGD(lr=1.0), self.inner_state)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared
