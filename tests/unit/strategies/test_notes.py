"""What grows with the square of the domains is told before it starts, with the estimate."""

from __future__ import annotations

import pytest

from mamdr.combiners import PCGrad, WeightedLoss
from mamdr.parameters import Space
from mamdr.strategies import Alternate, Combined, Finetune, Freeze, Problem, Strategy, Then, notes
from mamdr.testing import TwoTables

SPACE = Space.of(TwoTables())


def told(strategy: Strategy, domains: int, batch_size: int = 1024) -> tuple[str, ...]:
    return notes(strategy, Problem((5,) * domains + (0,), lambda domain: ()), SPACE, batch_size)


def test_the_estimate_by_hand() -> None:
    """1,000 domains, 61 dense values (8·6 + 6 + 6 + 1) of 4 bytes: 0.24 MB, and 8 MB of inner products."""
    assert SPACE.dense_size == 61
    [note] = told(Combined(PCGrad()), 1000)
    assert note.startswith("PCGrad takes the gradients of up to 1,000 domains apart in every mini-batch")
    assert f"{(1000 * 61 * 4 + 8e6) / 2**20:,.0f} MB" in note
    assert "0.1 billion multiplications" in note


def test_a_mini_batch_has_no_more_domains_than_rows() -> None:
    assert "up to 256 domains" in told(Combined(PCGrad()), 1000, 256)[0]
    assert told(Combined(PCGrad()), 1000, 64) == ()


@pytest.mark.parametrize("strategy", [Combined(WeightedLoss()), Alternate()])
def test_others_have_nothing_to_say(strategy: Strategy) -> None:
    assert told(strategy, 1000) == ()


def test_few_domains_are_no_matter() -> None:
    assert told(Combined(PCGrad()), 99) == ()
    assert len(told(Combined(PCGrad()), 100)) == 1


def test_strategies_within_others_count() -> None:
    assert len(told(Finetune(after=Combined(PCGrad())), 500)) == 1
    assert len(told(Freeze(of=Combined(PCGrad()), frozen="user.*"), 500)) == 1
    assert len(told(Then(Alternate(), Combined(PCGrad())), 500)) == 1
