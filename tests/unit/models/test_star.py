"""STAR's partitioned normalisation in training, and where every domain begins."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import models as oracle
from tests.unit.models.zoo import SCHEMA, SMALL, listed, lively, mixed_batch, one_domain
from torch import Tensor

from mamdr.models import STAR, build
from mamdr.models.routing import Routing
from mamdr.models.star import PartitionedNorm
from mamdr.strategies import Alternate, DomainNegotiation, Reptile, Separate, Strategy
from mamdr.testing import tiny_market
from mamdr.testing.lab import train


def _rows(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def _norm(domains: int = 4) -> PartitionedNorm:
    norm = lively(PartitionedNorm(domains, 3))
    assert isinstance(norm, PartitionedNorm)
    norm.mean.zero_()
    norm.variance.fill_(1)
    return norm.train()


def _expected(norm: PartitionedNorm, domain: int, rows: Tensor) -> list[list[float]]:
    own = listed(norm.own.weight[domain])
    scales = [listed(norm.scale), [1 + value for value in own[:3]]]
    mean, variance = oracle.moments(listed(rows))
    shifts = [listed(norm.shift), own[3:]]
    return [oracle.partitioned_norm(row, mean, variance, scales, shifts, norm.eps) for row in listed(rows)]


def test_training_normalises_each_domain_by_its_rows_of_the_batch() -> None:
    norm, rows = _norm(), _rows(9)
    domain = torch.tensor([2, 0, 2, 2, 0, 0, 2, 0, 2])
    out = norm(Routing(domain), rows)
    for which in (0, 2):
        expected = torch.tensor(_expected(norm, which, rows[domain == which]), dtype=torch.float64)
        torch.testing.assert_close(out[domain == which], expected)


def test_a_domains_batches_move_its_own_statistics_alone() -> None:
    norm, rows = _norm(), _rows(8)
    norm(Routing(torch.tensor([1]).expand(8)), rows)
    assert norm.batches.tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(norm.mean[1], rows.mean(0))
    torch.testing.assert_close(norm.variance[1], rows.var(0))
    others = [0, 2, 3]
    assert not norm.mean[others].any()
    assert (norm.variance[others] == 1).all()


def test_statistics_are_a_mean_over_the_first_batches_and_decay_from_there() -> None:
    norm, means = _norm(), [_rows(4, seed).mean(0) for seed in range(11)]
    for seed in range(11):
        norm(Routing(torch.tensor([0]).expand(4)), _rows(4, seed))
        if seed < 10:
            torch.testing.assert_close(norm.mean[0], torch.stack(means[: seed + 1]).mean(0))
    torch.testing.assert_close(norm.mean[0], 0.9 * torch.stack(means[:10]).mean(0) + 0.1 * means[10])


def test_a_single_row_goes_by_the_running_statistics_and_does_not_move_them() -> None:
    norm, rows = _norm(), _rows(1)
    in_training = norm(Routing(torch.tensor([3])), rows)
    assert norm.batches.tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(in_training, norm.eval()(Routing(torch.tensor([3])), rows))


def test_every_domain_begins_at_the_shared_network() -> None:
    module = build("star", SCHEMA, SMALL["star"]).eval()
    assert isinstance(module, STAR)
    rows = torch.randn(5, module.width)
    first, last = (
        module.star(route, module.norm(route, rows))
        for route in (Routing(torch.tensor([domain]).expand(5)) for domain in (0, 3))
    )
    assert torch.equal(first, last)
    own = module.inputs.tables[-1]
    with torch.no_grad():
        own.weight.zero_()  # type: ignore[operator, union-attr]
    batch = mixed_batch() | {"price": torch.randn(24)}
    assert torch.equal(module(one_domain(batch, 0)), module(one_domain(batch, 3)))


@pytest.mark.parametrize("strategy", [Alternate(), DomainNegotiation(outer_lr=0.5), Separate(), Reptile()])
def test_each_domains_statistics_are_kept(strategy: Strategy) -> None:
    """Batches of 8 of 40, 26, 9 and 1 rows, but for those of a single one."""
    data = tiny_market(numeric=True)
    state = train(build("star", data.schema, SMALL["star"]), data, strategy, rounds=1)
    assert state.buffers["norm.batches"].tolist() == [5, 4, 1, 0]
