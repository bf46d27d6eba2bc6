"""Fine-tuning of each domain, after any strategy."""

from __future__ import annotations

import dataclasses
from typing import Annotated, ClassVar

from pydantic import Field, SkipValidation

from mamdr.config import component
from mamdr.errors import ConfigError
from mamdr.parameters import Overlay, Store
from mamdr.seeds import derive
from mamdr.strategies.negotiation import Alternate, Steps
from mamdr.strategies.protocol import Leg, Problem, Run, State, Strategy, Walk
from mamdr.strategies.tally import Tally


@component
class Finetune:
    r"""Serve each domain with what another strategy learned, trained further on that domain's own rows.

    Each round is a round of `after`; then for each domain i, from the parameters Θ_i that `after` would serve it with,

        δ_i = share · walk(Θ_i, [i, ..., i])        `passes` legs
        domain i is served by Θ_i + δ_i

    The parts δ_i are made from nothing each round and `after` never reads them, so training goes on as it would without
    fine-tuning, a round is measured as it would be served if it were the last, and early stopping chooses the round
    that fine-tunes best. A domain without training rows is served as `after` serves it.

    Args:
        after: the strategy, which may be any but another Finetune; in a recipe a table [strategy.after] with a name.
            Alternate gives the paper's "Alternate + Finetune".
        passes: passes over the domain's rows, >= 1.
        steps: at most so many mini-batches a pass; None is the whole pass.
        share: of the displacement that is kept, in [0, 1]; 0 serves as `after` does.

    Cost: beside a round of `after`, `passes` over every domain, O(n); domains are independent. Memory: P values and the
    domain's own rows for each domain, beside the state of `after`.
    Walks are the run's own: the same inner optimizer, started fresh. Parameters that may not be specific are walked but
    not kept; running statistics (batch normalisation) stay those of `after`.
    Reference: MAMDR, section V-B (Alternate + Finetune).
    Differs from the authors' code: that fine-tunes once, after training, by SGD at 0.001 until the domain's own
    validation AUC falls, and does so after DN and MAMDR too; here it happens only where it is asked for.

    >>> Finetune(after=Alternate(), passes=2).finetunes
    True
    """

    after: SkipValidation[Strategy] = Alternate()
    passes: Annotated[int, Field(ge=1)] = 1
    steps: Steps = None
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    finetunes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.after, Finetune):
            raise ConfigError(
                "strategy.after fine-tunes already", "a strategy that does not", "Raise passes instead"
            )

    def init(self, state: State, problem: Problem) -> State:
        return self.after.init(state, problem)

    def round(self, state: State, problem: Problem, run: Run) -> State:
        state = self.after.round(state, problem, run)
        state.tuned.clear()
        tally = Tally()
        stores = [self._store(state, domain) for domain in problem.trainable]
        walks = [
            Walk(
                store,
                (Leg((store.domain,), self.steps),) * self.passes,
                derive(state.seed, "finetune", state.round, store.domain),
                buffers=state.buffers,
            )
            for store in stores
        ]
        for store, outcome in zip(stores, run(walks), strict=True):
            store.push(outcome.displacement, self.share)
            tally.add(outcome)
        tally.write(state, "tuned")
        return state

    def _store(self, state: State, domain: int, share: float = 1.0) -> Overlay:
        whole = dataclasses.replace(state, shares={})  # a share is one of what fine-tuning adds
        return Overlay(self.after.params_for(whole, domain), state.tuned, domain, share=share)

    def params_for(self, state: State, domain: int) -> Store:
        return self._store(state, domain, state.shares.get(domain, 1.0))
