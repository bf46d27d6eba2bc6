"""Separate training: one model a domain."""

from __future__ import annotations

from typing import ClassVar

from mamdr.config import component
from mamdr.parameters import Moments, Overlay, Store
from mamdr.seeds import derive
from mamdr.strategies.negotiation import InnerState, Steps
from mamdr.strategies.protocol import Leg, Problem, Run, State, Walk
from mamdr.strategies.tally import Tally


@component
class Separate:
    r"""Train one model for each domain on that domain's rows alone; nothing is shared but the first values.

    For a domain i one walk over its own data, and all of its displacement:

        θ_i ← θ_i + walk(θ_S + θ_i, [i])

    θ_S is never trained, so a domain without training rows is served by the first values, which know nothing.

    Args:
        inner_state: "kept" gives each domain an inner optimizer of its own that goes on from round to round, as a
            model trained alone has; "fresh" starts it anew each round and remembers nothing.
        steps: at most so many mini-batches a domain and round; None is a whole pass.

    Cost: one pass over every domain a round, O(n); domains are independent. Memory: P values and the domain's own rows
    for each domain, and with "kept" the inner optimizer's moments beside them (Adam: twice that again).
    Reads shared, writes specific parts only. Running statistics that a model keeps by domain are those of the domain's
    own walk; those of batch normalisation, which a module has once, are the mean over domains and fit none well.
    Reference: MAMDR, Figure 1 (b), and "RAW+Separate" in section V-F.
    Differs from a separate model: what may not be specific stays at its first values, as does a row the domain never
    touched; every domain starts from the same values.
    """

    inner_state: InnerState = "kept"
    steps: Steps = None
    finetunes: ClassVar[bool] = False

    def init(self, state: State, problem: Problem) -> State:
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        domains, tally = problem.trainable, Tally.of_specific(state)
        kept = [self._kept(state, domain) for domain in domains]
        stores = [Overlay(state.shared, state.specific, domain) for domain in domains]
        walks = [
            Walk(
                store,
                (Leg((domain,), self.steps),),
                derive(state.seed, "separate", state.round, domain),
                moments,
                state.buffers,
            )
            for domain, store, moments in zip(domains, stores, kept, strict=True)
        ]
        for store, moments, outcome in zip(stores, kept, run(walks), strict=True):
            store.push(outcome.displacement, 1.0)
            if moments is not None and outcome.moments is not None:
                moments.put(outcome.moments)
            tally.add(outcome)
        tally.write(state, "specific")
        return state

    def _kept(self, state: State, domain: int) -> Moments | None:
        """What the domain's own optimizer remembers."""
        if self.inner_state == "fresh":
            return None
        return state.moments.setdefault(f"inner/{domain}", Moments())

    def params_for(self, state: State, domain: int) -> Store:
        return Overlay(state.shared, state.specific, domain, share=state.shares.get(domain, 1.0))
