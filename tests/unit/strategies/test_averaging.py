"""Averaging over rounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mamdr.parameters import Ahead, Point
from mamdr.strategies import MAMDR, Alternate, DomainNegotiation, Freeze, Joint
from mamdr.testing import (
    NormedTables,
    StrategyConformance,
    TwoTables,
    parameters_of,
    same_bits,
    tiny_market,
    train,
)


class TestAveragedNegotiation(StrategyConformance):
    def strategy(self) -> DomainNegotiation:
        return DomainNegotiation(outer_lr=0.5, averaging=0.8)


class TestAveragedMAMDR(StrategyConformance):
    def strategy(self) -> MAMDR:
        return MAMDR(num_helpers=1, averaging=0.8)


class TestAveragedJoint(StrategyConformance):
    order_free = True

    def strategy(self) -> Joint:
        return Joint(averaging=0.5)


class TestHalfLed(StrategyConformance):
    def strategy(self) -> DomainNegotiation:
        return DomainNegotiation(outer_lr=1.0, averaging=0.8, lead=0.5)


class TestAveragedStatistics(StrategyConformance):
    def strategy(self) -> Alternate:
        return Alternate(averaging=0.8)

    def module(self) -> nn.Module:
        return NormedTables()


def test_mamdr_keeps_the_shared_parameters_optimizer_alone() -> None:
    """Its shared parameters are those of Alternate with averaging, and its specific walks stay independent."""
    module, data = TwoTables(dropout=0.3), tiny_market()
    mamdr = MAMDR(num_helpers=2, outer_lr=1.0, inner_state="shared", averaging=0.8)
    state, plain = train(module, data, mamdr, 3), train(module, data, Alternate(averaging=0.8), 3)
    assert torch.equal(state.shared.dense, plain.shared.dense)
    assert state.moments["inner"].step == plain.moments["inner"].step
    assert same_bits(state, train(module, data, mamdr, 3, jobs=2))


def test_the_first_round_is_as_without_averaging() -> None:
    module, data = TwoTables(), tiny_market()
    plain, averaged = (train(module, data, Alternate(averaging=w), 1) for w in (0.0, 0.9))
    assert torch.equal(plain.shared.dense, averaged.shared.dense)
    assert all(map(torch.equal, plain.shared.tables, averaged.shared.tables))


def test_without_a_lead_each_round_is_one_of_domain_negotiation() -> None:
    """θ_S takes 1, 1/2, 1/3 ... of a round's displacement, down to 1 - w."""
    module, data = TwoTables(), tiny_market()
    averaged = train(module, data, DomainNegotiation(outer_lr=1.0, averaging=0.6, lead=0.0), 4)
    state = train(module, data, DomainNegotiation(), 0)
    for share in (1.0, 1 / 2, 0.4, 0.4):
        state = train(module, data, DomainNegotiation(outer_lr=share), 1, state=state)
    for name, value in parameters_of(averaged.shared).items():
        torch.testing.assert_close(value, parameters_of(state.shared)[name], rtol=0, atol=1e-6)


def test_running_statistics_are_a_mean_too() -> None:
    data = tiny_market()
    rounds = [train(NormedTables(), data, Alternate(averaging=0.9), count) for count in (1, 2)]
    name = next(name for name, value in rounds[0].buffers.items() if value.is_floating_point())
    counts = next(name for name, value in rounds[0].buffers.items() if not value.is_floating_point())
    plain = train(NormedTables(), data, Alternate(), 2)
    assert rounds[1].buffers[counts] == plain.buffers[counts]
    assert torch.allclose(
        rounds[1].buffers[name], (rounds[0].buffers[name] + plain.buffers[name]) / 2, atol=1e-6
    )


def test_what_is_frozen_neither_moves_nor_leads() -> None:
    start = train(TwoTables(), tiny_market(), Alternate(), 0)
    name = start.space.tables[0].name
    state = train(TwoTables(), tiny_market(), Freeze(Alternate(averaging=0.5), [name]), 3)
    assert torch.equal(parameters_of(state.shared)[name], parameters_of(start.shared)[name])


@pytest.mark.parametrize("width", [0, 3])
def test_a_store_is_read_ahead_where_there_is_a_lead(width: int) -> None:
    state = train(TwoTables(), tiny_market(), Alternate(), 0)
    space, ids = state.space, state.space.all_ids()
    led = tuple(i[: width or len(i)] for i in ids)
    lead = Point(space, led, torch.randn(space.size(led)))
    ahead = Ahead(state.shared, lead.copy())
    expected = state.shared.pull(ids).add(lead)
    assert torch.equal(ahead.pull(ids).flat, expected.flat)
    ahead.push(lead, 2.0)
    assert torch.allclose(ahead.lead.flat, 3 * lead.flat)
    assert same_bits(state, train(TwoTables(), tiny_market(), Alternate(), 0))
