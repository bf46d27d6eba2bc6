r"""Outer optimizers: how a store takes a displacement in.

A displacement is the pseudo-gradient with the sign turned, Δ = Θ̃ − Θ (MAMDR, section IV-A, Equation 3). With
g = −Δ each rule below gives the step that is added to Θ. Rows that a displacement lacks do not move, and their
moments rest.
"""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from mamdr.config import component
from mamdr.parameters.moments import Moments
from mamdr.parameters.point import Point

Rate = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]


class Outer(Protocol):
    """Turns a displacement into the step that a store adds."""

    def update(self, displacement: Point, state: Moments) -> Point:
        """The step (which may be `displacement` itself, changed in place); `state` moves on."""
        ...


@component
class SGD:
    """The paper's rule, Θ ← Θ + lr · Δ (Equation 3); lr = 1 is Alternate training, lr = 0 changes nothing."""

    lr: Rate = 0.1

    def update(self, displacement: Point, state: Moments) -> Point:
        """Cost: one pass over the displacement."""
        state.step += 1
        displacement.flat.mul_(self.lr)
        return displacement


@component
class Nesterov:
    """SGD with Nesterov momentum: m ← μm + g, step = −lr · (μm + g) (as DiLoCo's outer step, arXiv 2311.08105)."""

    lr: Rate = 0.7
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    def update(self, displacement: Point, state: Moments) -> Point:
        """Cost: three passes over the displacement and one point of moments."""
        walked = state.at(displacement.space, ["momentum"], displacement.ids)
        mean = walked.points["momentum"].flat
        mean.mul_(self.momentum).add_(displacement.flat)
        displacement.flat.add_(mean, alpha=self.momentum).mul_(self.lr)
        return _remember(state, walked, displacement)


@component
class Adagrad:
    """s ← s + g², step = −lr · g / (√s + eps), s starting at `initial` (section IV-E names Adagrad; Duchi et al. 2011).

    With `initial` 0 the first step is ± lr whatever the displacement's size: choose it of the order of a squared
    displacement.
    """

    lr: Rate = 0.1
    initial: Annotated[float, Field(ge=0)] = 1e-6
    eps: Annotated[float, Field(gt=0)] = 1e-10

    def update(self, displacement: Point, state: Moments) -> Point:
        """Cost: four passes over the displacement and one point of moments."""
        walked = state.at(displacement.space, ["square"], displacement.ids)
        square = walked.points["square"].flat
        square.addcmul_(displacement.flat, displacement.flat)
        displacement.flat.div_((square + self.initial).sqrt_().add_(self.eps)).mul_(self.lr)
        return _remember(state, walked, displacement)


@component
class Adam:
    """Adam with bias correction on g = −Δ (Kingma and Ba 2015); a row's moments rest while no displacement has it."""

    lr: Rate = 0.001
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def update(self, displacement: Point, state: Moments) -> Point:
        """Cost: seven passes over the displacement and two points of moments."""
        walked = state.at(displacement.space, ["mean", "square"], displacement.ids)
        delta, step = displacement.flat, state.step + 1
        mean = walked.points["mean"].flat.lerp_(delta, 1 - self.beta1)
        square = walked.points["square"].flat.mul_(self.beta2).addcmul_(delta, delta, value=1 - self.beta2)
        scale = (square / (1 - self.beta2**step)).sqrt_().add_(self.eps)
        delta.copy_(mean).div_(scale).mul_(self.lr / (1 - self.beta1**step))
        return _remember(state, walked, displacement)


def _remember(state: Moments, walked: Moments, step: Point) -> Point:
    walked.step += 1
    state.put(walked)
    return step


RULES: dict[str, type[SGD] | type[Nesterov] | type[Adagrad] | type[Adam]] = {
    "sgd": SGD,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "adam": Adam,
}
"""Outer optimizers by the name that a recipe uses."""
