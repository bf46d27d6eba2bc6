"""Our strategies pass the suite that an outside author's strategy has to pass."""

from __future__ import annotations

from mamdr.parameters import outer
from mamdr.strategies import MAMDR, Alternate, DomainNegotiation, DomainRegularization, Strategy, Then
from mamdr.testing import StrategyConformance


class TestAlternate(StrategyConformance):
    def strategy(self) -> Strategy:
        return Alternate()


class TestDomainNegotiation(StrategyConformance):
    def strategy(self) -> Strategy:
        return DomainNegotiation(outer_lr=0.5)


class TestDomainNegotiationByAdam(StrategyConformance):
    def strategy(self) -> Strategy:
        return DomainNegotiation(outer=outer.Adam(lr=0.01), inner_state="kept")


class TestDomainRegularization(StrategyConformance):
    order_free = True

    def strategy(self) -> Strategy:
        return DomainRegularization(num_helpers=2, include_self=True)


class TestMAMDR(StrategyConformance):
    def strategy(self) -> Strategy:
        return MAMDR(num_helpers=2)


class TestMAMDROwnRows(StrategyConformance):
    def strategy(self) -> Strategy:
        return MAMDR(num_helpers=2, rows="own", steps=2, own_steps=1)


class TestAuthors(StrategyConformance):
    unseen_is_shared = False

    def strategy(self) -> Strategy:
        return MAMDR.authors(num_helpers=2)


class TestThen(StrategyConformance):
    def strategy(self) -> Strategy:
        return Then(
            DomainNegotiation(outer=outer.Nesterov()), DomainRegularization(num_helpers=1, specific_lr=1.0)
        )
