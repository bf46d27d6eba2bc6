r"""How much Domain Regularization a round affords: with "auto" as many mini-batches as Domain Negotiation's pass.

With b_i the mini-batches of a pass over domain i, k helpers and legs of at most s mini-batches, a round of Domain
Regularization makes about 2k Σ_i min(s, b_i). "auto" takes

    k = 2 (1 where domains are so small that even s = 1 costs more),
    s = the largest with 2k Σ_i min(s, b_i) <= Σ_i b_i, and at least 1

so that a round costs two passes over the data in the place of 1 + 2k, and the largest domains do not over-fit by passes
that the small ones need. What it gives up: docs/findings.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mamdr.strategies.protocol import Problem

Helpers = Annotated[int, Field(ge=0)] | Literal["auto"]
Cap = Annotated[int, Field(ge=1)] | Literal["auto"] | None

_HELPERS = 2


def helpers_of(wanted: Helpers, problem: Problem) -> int:
    """k, whatever the number of domains.

    >>> helpers_of("auto", Problem((4000, 9000), lambda domain: (), batch_size=1000))
    2
    >>> helpers_of("auto", Problem((40, 90), lambda domain: (), batch_size=1000))
    1
    """
    if wanted != "auto":
        return wanted
    batches = _batches(problem)
    return _HELPERS if 2 * _HELPERS * len(batches) <= sum(batches) else 1


def steps_of(wanted: Cap, problem: Problem, helpers: int) -> int | None:
    """s; None is a whole pass.

    >>> steps_of("auto", Problem((4000, 36000), lambda domain: (), batch_size=1000), helpers=2)
    6
    """
    if wanted != "auto":
        return wanted
    batches = _batches(problem)
    if not batches or not helpers:
        return None
    return max(
        1, bisect_right(range(batches[-1] + 1), sum(batches), key=lambda s: _cost(batches, helpers, s)) - 1
    )


def _cost(batches: Sequence[int], helpers: int, steps: int) -> int:
    return 2 * helpers * sum(min(steps, count) for count in batches)


def _batches(problem: Problem) -> list[int]:
    """Mini-batches of a pass over each domain that has rows, the least first."""
    return sorted(-(-size // problem.batch_size) for size in problem.sizes if size)
