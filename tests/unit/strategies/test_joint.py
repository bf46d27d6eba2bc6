"""Joint training beside Alternate."""

from __future__ import annotations

from mamdr.strategies import Alternate, Joint
from mamdr.testing import StrategyConformance, TwoTables, same_bits, tiny_market, train
from mamdr.testing.lab import at_work, problem_of


class TestJoint(StrategyConformance):
    order_free = True

    def strategy(self) -> Joint:
        return Joint()


class TestJointFresh(StrategyConformance):
    order_free = True

    def strategy(self) -> Joint:
        return Joint(inner_state="fresh", steps=3)


def test_with_one_domain_joint_is_alternate() -> None:
    module, data = TwoTables(dropout=0.3), tiny_market((40,))
    assert same_bits(train(module, data, Joint(), 3), train(module, data, Alternate(), 3))


def test_a_round_sees_every_row_once_in_full_batches() -> None:
    data = tiny_market((40, 0, 26, 9, 1))
    module, before = TwoTables(), train(TwoTables(), data, Joint(), 0)
    with at_work(module, data) as (session, run):
        state = Joint().round(before, problem_of(session), run)
    assert state.samples == 76
    assert state.moments["inner"].step == 10  # batches of 8: Alternate makes 5 + 4 + 2 + 1 of the same rows
