"""What a user should know of a strategy's cost before it starts."""

from __future__ import annotations

from mamdr.parameters import Space
from mamdr.strategies.combined import Combined
from mamdr.strategies.finetune import Finetune
from mamdr.strategies.freeze import Freeze
from mamdr.strategies.protocol import Problem, Strategy
from mamdr.strategies.then import Then

MANY = 100
"""Domains of a mini-batch from which on taking their gradients apart is worth a word."""


def notes(strategy: Strategy, problem: Problem, space: Space, batch_size: int) -> tuple[str, ...]:
    """Sentences on what grows with the square of the number of domains, with estimates; none where it is little.

    Args:
        strategy: those within it count too.
        problem: how many domains there are.
        space: the module's parameters.
        batch_size: a mini-batch has no more domains than rows.
    """
    if isinstance(strategy, Finetune):
        return notes(strategy.after, problem, space, batch_size)
    if isinstance(strategy, Freeze):
        return notes(strategy.of, problem, space, batch_size)
    if isinstance(strategy, Then):
        return tuple(note for part in strategy.parts for note in notes(part, problem, space, batch_size))
    domains = min(len(problem.trainable), batch_size)
    if not isinstance(strategy, Combined) or strategy.combiner.needs != "gram" or domains < MANY:
        return ()
    size = space.dense_size
    held = (domains * size * space.dtype.itemsize + domains**2 * 8) / 2**20
    return (
        f"{type(strategy.combiner).__name__} takes the gradients of up to {domains:,} domains apart in every"
        f" mini-batch: that many passes instead of one, {held:,.0f} MB for them and their inner products (and the"
        f" table rows they touch), and {domains**2 * size / 1e9:,.1f} billion multiplications for the inner products."
        " It grows with the square of the domains; Weighted Loss and FAMO do not",
    )
