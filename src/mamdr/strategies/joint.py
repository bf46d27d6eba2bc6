"""Joint training: all domains as one data set."""

from __future__ import annotations

from typing import ClassVar

from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD
from mamdr.strategies.averaging import Averaging, Lead
from mamdr.strategies.negotiation import InnerState, Steps, walk_shared
from mamdr.strategies.protocol import Leg, Problem, Run, State


@component
class Joint:
    r"""Train the shared parameters on the rows of all domains mixed, as if there were no domains.

    One walk over one leg that holds every domain's rows in random order, and all of its displacement:

        θ_S ← θ_S + walk(θ_S, [D^1 ∪ ... ∪ D^n])

    A mini-batch holds rows of many domains; a domain counts by its share of the rows.

    Args:
        inner_state: "kept" goes on with one inner optimizer from round to round, as everyone does; "fresh" starts it
            anew each round.
        steps: at most so many mini-batches a round; None is a whole pass.
        averaging: w in [0, 1), as in Domain Negotiation: θ_S is a mean of rounds (`strategies.averaging`).
        lead: ρ in [0, 1]: with averaging, how far from the mean towards a round's end the next round starts.

    Cost: one pass over every domain a round, O(n), in fewer and fuller batches than Alternate. Memory: one walk over
    every row that any domain touches.
    Reference: the usual training of a single model; the counterpart of Alternate (MAMDR, section V-B), which takes
    domains one by one.
    """

    inner_state: InnerState = "kept"
    steps: Steps = None
    averaging: Averaging = 0.0
    lead: Lead = 1.0
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        legs = (Leg(problem.trainable, self.steps),) if problem.trainable else ()
        return walk_shared(state, run, legs, SGD(lr=1.0), self.inner_state, self.averaging, self.lead)

    def params_for(self, state: State, domain: int) -> Store:
        return state.shared
