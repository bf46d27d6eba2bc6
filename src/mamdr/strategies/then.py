"""Strategies one after another within a round, and MAMDR, which is the paper's pair of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mamdr.config import component
from mamdr.parameters import Store
from mamdr.parameters.outer import SGD, Adagrad, Adam, Nesterov
from mamdr.strategies.averaging import Averaging, Lead
from mamdr.strategies.budget import Cap, Helpers
from mamdr.strategies.chains import begin_early
from mamdr.strategies.negotiation import DomainNegotiation, Steps
from mamdr.strategies.protocol import Problem, Run, State, Strategy
from mamdr.strategies.regularization import DomainRegularization


class Then:
    """Each round, one strategy's round and then the next one's, on the same state; the last one serves.

    Args:
        parts: the strategies, in order.
    """

    def __init__(self, *parts: Strategy) -> None:
        self.parts = parts

    @property
    def finetunes(self) -> bool:
        return any(part.finetunes for part in self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Then) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Then({', '.join(map(repr, self.parts))})"

    def init(self, state: State, problem: Problem) -> State:
        for part in self.parts:
            state = part.init(state, problem)
        return state

    def round(self, state: State, problem: Problem, run: Run) -> State:
        for part in self.parts:
            state = part.round(state, problem, run)
        return state

    def params_for(self, state: State, domain: int) -> Store:
        return self.parts[-1].params_for(state, domain)


@component
class MAMDR:
    """Domain Negotiation for the shared parameters, then Domain Regularization for each domain's specific ones.

    Each round is `Then(DomainNegotiation(...), DomainRegularization(...))`; the settings are theirs.

    Args:
        inner_state: "fresh" for both, "kept" for both, or "shared": kept from round to round for the shared parameters,
            as everyone trains, and fresh for specific parts, whose walks are then independent.

    Cost: O((k + 1) n) passes a round by the paper's count, n (1 + 2k) passes of mini-batches. With several processes
    the shared parameters' walk of the next round is begun beside the specific parts' walks, which do not change what
    it begins from: no process waits for another but at a round's end.
    Reference: MAMDR, section IV-D, Algorithm 3.
    """

    outer_lr: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.1
    outer: SGD | Nesterov | Adagrad | Adam | None = None
    num_helpers: Helpers = 3
    specific_lr: Annotated[float, Field(ge=0, le=1)] = 0.1
    keep: Annotated[float, Field(ge=0, le=1)] = 1.0
    include_self: bool = False
    inner_state: Literal["fresh", "kept", "shared"] = "fresh"
    steps: Steps = None
    helper_steps: Cap = None
    own_steps: Cap = None
    shuffle: bool = True
    backoff: bool = False
    averaging: Averaging = 0.0
    lead: Lead = 1.0
    rows: Literal["touched", "own"] = "touched"
    start: Literal["zero", "random"] = "zero"
    finetunes: ClassVar[bool] = False

    @classmethod
    def authors(cls, num_helpers: int = 3) -> MAMDR:
        """As the authors' code does it: random specific parts at the start, one inner optimizer throughout, and each
        domain as its own last helper."""
        return cls(num_helpers=num_helpers, include_self=True, inner_state="kept", start="random")

    @classmethod
    def safe(cls) -> MAMDR:
        """What the recipe `mamdr` takes, for who cannot tune.

        Shared parameters are the mean of rounds of plain training, which goes on where each round ended
        (`strategies.averaging`). The data's size sets what specific parts may cost (`strategies.budget`), and those
        that come to nothing rest.

        Train it with shares that may be zero and serve each domain by its own round (`train.shares`, `train.shrink`,
        `train.choose`): then no domain is below the shared parameters on validation. Measured in docs/findings.md.
        """
        return cls(
            outer_lr=1.0,
            inner_state="shared",
            averaging=0.8,
            backoff=True,
            num_helpers="auto",
            helper_steps="auto",
            own_steps="auto",
            specific_lr=0.3,
        )

    @property
    def negotiation(self) -> DomainNegotiation:
        """What trains the shared parameters."""
        return DomainNegotiation(
            outer_lr=self.outer_lr,
            outer=self.outer,
            inner_state="fresh" if self.inner_state == "fresh" else "kept",
            steps=self.steps,
            shuffle=self.shuffle,
            averaging=self.averaging,
            lead=self.lead,
        )

    @property
    def regularization(self) -> DomainRegularization:
        """What trains the specific parts."""
        return DomainRegularization(
            num_helpers=self.num_helpers,
            specific_lr=self.specific_lr,
            keep=self.keep,
            include_self=self.include_self,
            inner_state="kept" if self.inner_state == "kept" else "fresh",
            helper_steps=self.helper_steps,
            own_steps=self.own_steps,
            shuffle=self.shuffle,
            backoff=self.backoff,
            rows=self.rows,
            start=self.start,
        )

    @property
    def parts(self) -> Then:
        """The pair that this is."""
        return Then(self.negotiation, self.regularization)

    def init(self, state: State, problem: Problem) -> State:
        return self.parts.init(state, problem)

    def round(self, state: State, problem: Problem, run: Run) -> State:
        state = self.negotiation.round(state, problem, run)
        if self.inner_state != "kept":  # else one optimizer goes through all walks
            begin_early(run, self.negotiation.next_walk(state, problem))
        return self.regularization.round(state, problem, run)

    def params_for(self, state: State, domain: int) -> Store:
        return self.parts.params_for(state, domain)
