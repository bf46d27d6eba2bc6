r"""Averaging over rounds: the shared parameters are a mean of what rounds came to, and training goes on ahead of them.

Rounds of training wander about what they agree on: each ends near the domains it saw last, and rows of few samples
follow the noise of their own. The mean of rounds is nearer to all domains than any round is. With Φ_t the parameters
that round t of training comes to and w in [0, 1) the weight of the past,

    Φ_t = Φ_{t−1} + step of round t,    θ_S ← w_t θ_S + (1 − w_t) Φ_t,    w_t = min(w, 1 − 1/t)

a plain mean of the first 1 / (1 − w) rounds and an exponential one from then on. The next round starts at
θ_S + ρ (Φ_t − θ_S): with ρ = 1 where the last one ended, with ρ = 0 from the mean, which is Domain Negotiation with
outer_lr 1 − w, and in between from what lies between. Only the lead Φ − θ_S is kept beside θ_S: with it a round is

    lead ← lead + step,    θ_S ← θ_S + (1 − w_t) lead,    lead ← ρ w_t lead

which is momentum in the manner of Nesterov, whose walks start where the momentum leads. What reads θ_S (Domain
Regularization, evaluation, serving) reads the mean.

Reference: Polyak and Juditsky, SIAM J. Control Optim. 30(4), 1992; Izmailov et al., Averaging Weights Leads to Wider
Optima and Better Generalization, arXiv 1803.05407 (the plain mean of passes).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from mamdr.parameters import Ahead, Moments, Point
from mamdr.strategies.protocol import State

Averaging = Annotated[float, Field(ge=0, lt=1)]
"""w; 0 averages nothing."""

Lead = Annotated[float, Field(ge=0, le=1)]
"""ρ; 1 goes on where each round ended, 0 goes back to the mean."""

_LEAD = "lead"
"""Where the lead is kept among a state's moments."""


def ahead_of(state: State) -> Ahead:
    """The shared parameters as training left them, ahead of their mean."""
    kept = state.moments.setdefault(_LEAD, Moments())
    return Ahead(state.shared, kept.points.get(_LEAD) or Point.zeros(state.space))


def average(
    state: State, ahead: Ahead, buffers: dict[str, Tensor], averaging: float, lead: float = 1.0
) -> None:
    """Take a round's end into the mean: the parameters, and running statistics likewise (of counts the newest).

    Args:
        ahead: where the round ended.
        buffers: those that the round changed.
        averaging: w.
        lead: ρ.

    Cost: three passes over every row that was ever trained. Memory: as many values beside the shared parameters.
    """
    kept = state.moments[_LEAD]
    kept.step += 1
    weight = min(averaging, 1 - 1 / kept.step)
    state.shared.push(ahead.lead, 1 - weight)
    ahead.lead.flat.mul_(lead * weight)
    kept.points[_LEAD] = ahead.lead
    state.buffers = state.buffers | {
        name: _mean(state.buffers.get(name, value), value, weight) for name, value in buffers.items()
    }


def _mean(past: Tensor, value: Tensor, weight: float) -> Tensor:
    return value.lerp(past.to(value.device), weight) if value.is_floating_point() else value
