"""Freezing some parameters for a strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pydantic import SkipValidation

from mamdr.config import component
from mamdr.errors import ConfigError
from mamdr.parameters import Space, Store
from mamdr.parameters.names import matching
from mamdr.strategies.negotiation import Alternate
from mamdr.strategies.protocol import Problem, Run, State, Strategy


@component
class Freeze:
    r"""Let a strategy train some parameters, and leave the others where they are.

    With F the frozen parameters, every walk of a round of `of` and every push is that of `of` on the others alone:

        ∇_F = 0,  displacement_F = 0 to the bit,  and nothing is added to θ_S,F or θ_i,F

    Frozen parameters get no gradient and no optimizer's step. So nothing that an inner optimizer remembers of them
    moves them (Adam's moments go on moving what has no gradient), and it rests. Nor does an outer optimizer's
    momentum, though for dense parameters it fades as under a displacement of zero. What `keep` of Domain
    Regularization fades stays; what Finetune makes anew each round is zero there.

    Args:
        of: the strategy, which may be any; in a recipe a table [strategy.of] with a name.
        frozen: names of parameters, as patterns with * and ?; in Python also a predicate of a name.

    In `Then` a parameter is frozen for one step only: `Then(DomainNegotiation(), Freeze(DomainRegularization(),
    frozen=("item.weight",)))` trains the item embeddings for all domains together and never against them. To freeze a
    parameter for good, turn its `requires_grad` off: then it costs nothing. To let walks train a parameter that must
    not differ between domains, see `parameters.Specific`.

    Running statistics (buffers) are not parameters and move as they do under `of`; a random start of specific parts is
    drawn before the first round, for frozen parameters too.

    Cost and memory: those of `of`, without the gradients of what is frozen.
    Reference: none of its own; the paper freezes θ_S in Algorithm 2, which Domain Regularization does by itself.

    Raises:
        ConfigError: a pattern that fits no trainable parameter, or patterns that leave none to train.

    >>> Freeze(Alternate(), frozen=("item.*",)).finetunes
    False
    """

    of: SkipValidation[Strategy] = Alternate()
    frozen: str | tuple[str, ...] | Callable[[str], bool] = ()

    @property
    def finetunes(self) -> bool:
        return self.of.finetunes

    def __repr__(self) -> str:
        called = getattr(self.frozen, "__qualname__", None)  # not an address, which changes with the process
        return f"Freeze({self.of!r}, frozen={called or self.frozen!r})"

    def names(self, space: Space) -> frozenset[str]:
        """The frozen parameters of a module."""
        if callable(self.frozen):
            found = frozenset(filter(self.frozen, space.names))
        else:
            patterns = (self.frozen,) if isinstance(self.frozen, str) else self.frozen
            found = matching(patterns, space.names, "frozen")
        if found.issuperset(space.names):
            raise ConfigError(
                f"frozen = {self.frozen!r} fits every parameter", "one or more left to train", "Freeze fewer"
            )
        return found

    def init(self, state: State, problem: Problem) -> State:
        self.names(state.space)
        return self.of.init(state, problem)

    def round(self, state: State, problem: Problem, run: Run) -> State:
        still = state.shared.freezing(self.names(state.space))
        made = self.of.round(dataclasses.replace(state, shared=still), problem, run)
        return dataclasses.replace(made, shared=state.shared)

    def params_for(self, state: State, domain: int) -> Store:
        return self.of.params_for(state, domain)
