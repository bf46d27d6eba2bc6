"""Which parameters get a part of each domain's own, and how much room it takes."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import nn

from mamdr.config import component
from mamdr.errors import ConfigError
from mamdr.memory import Size
from mamdr.parameters.names import matching
from mamdr.parameters.space import Space


@component
class Specific:
    r"""What a domain's specific part θ_i may hold: one setting for every strategy that has such parts.

    A parameter that may not be specific is walked as any other, but what a walk for θ_i (or for fine-tuning's δ_i) did
    to it is not kept, and nothing is stored for it.

    With a rank r, what a domain keeps of a matrix M [m, n] is two factors, L [m, r] and R [n, r]. Each push goes to the
    nearest matrix of that rank (a truncated singular value decomposition):

        M_i = L_i R_iᵀ;   L_i, R_i ← factors of the best rank-r approximation of L_i R_iᵀ + rate · (displacement)

    Args:
        parameters: "all"; "dense" (all but the tables' rows); or names of parameters, as patterns with * and ?.
        rank: r >= 1; None keeps matrices whole. A matrix that two factors would not make smaller, r (m + n) >= m n, is
            kept whole, as are vectors and rows; of a stack of matrices [..., m, n] each is factored by itself.
        memory: how much memory the parts of all domains may take, such as "512MB" (and as much again what rounds of
            their own serve them with, `train.choose`): what is not used at the time is on disk, in the run's folder,
            and checkpoints share its files. None keeps all of them in memory. Makes no
            difference to what is learned, and may change from one sitting to the next.

    Cost of a rank: a singular value decomposition of each matrix at each push (about 15 ms for 256 x 384 on one
    core), and 2 r m n operations at each pull. Memory: a part holds r (m + n) values in the place of m n; a walk still
    holds whole matrices, those of one domain at a time.
    Differs from training the factors (Hu et al., LoRA, arXiv 2106.09685): a walk trains whole matrices, by the inner
    optimizer's own geometry, and only what is kept of it is of low rank. So no factor has to be started anywhere,
    rates mean what they mean without a rank, and how a product is split makes no difference. Projecting after each
    step is the singular value projection of Jain, Meka and Dhillon (arXiv 0909.5457), with pushes in the place of
    gradient steps. Its weakness: a direction that a push moves by less than the r-th singular value is dropped at each
    push, and never adds up.

    >>> module = nn.Linear(20, 10)
    >>> space = Specific(rank=2).applied(Space.of(module))
    >>> space.dense_size, space.part.dense_size  # 10 · 20 + 10 values; 2 · (10 + 20) + 10
    (210, 70)
    """

    parameters: str | tuple[str, ...] = "all"
    rank: Annotated[int, Field(ge=1)] | None = None
    memory: Size | None = None

    def applied(self, space: Space) -> Space:
        """The space with these parameters, and no others, specific.

        Raises:
            ConfigError: a name or pattern that fits no trainable parameter.
        """
        return dataclasses.replace(space, specific=self._names(space), rank=self.rank)

    def _names(self, space: Space) -> frozenset[str]:
        if self.parameters == "all":
            return frozenset(space.names)
        if self.parameters == "dense":
            return frozenset(part.name for part in space.dense)
        patterns = (self.parameters,) if isinstance(self.parameters, str) else self.parameters
        if not patterns:
            raise ConfigError(
                "specific.parameters = []", "at least one name", 'Name what may be specific, "all" or "dense"'
            )
        return matching(patterns, space.names, "specific.parameters")

    @classmethod
    def chosen(cls, module: nn.Module, predicate: Callable[[str], bool], rank: int | None = None) -> Specific:
        """The parameters of a module whose names a predicate accepts.

        >>> Specific.chosen(nn.Linear(2, 1), lambda name: name == "bias").parameters
        ('bias',)
        """
        names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        return cls(tuple(glob.escape(name) for name in names if predicate(name)), rank)
