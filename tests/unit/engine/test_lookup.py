"""Looking rows up moves what `F.embedding` moves, and leaves no gradient behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mamdr.engine import WalkOptions, inner
from mamdr.engine.lazy import put
from mamdr.engine.lookup import look_up, plain
from mamdr.engine.walk import Walked
from mamdr.parameters import LocalStore
from mamdr.strategies import Leg, Walk
from mamdr.testing import TwoTables, tiny_market
from mamdr.testing.lab import at_work

DATA = tiny_market((30, 21, 10))


@pytest.mark.parametrize("width", [1, 3, 32])
@pytest.mark.parametrize("shape", [(50,), (10, 4), (0,), (1,)])
def test_a_gradient_is_that_of_an_embedding_to_the_bit(width: int, shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(width)
    ids = torch.randint(9, shape, generator=random, dtype=torch.int32)
    rows = torch.randn(12, width, generator=random).requires_grad_()
    slope = torch.randn(*shape, width, generator=random)
    wanted = F.embedding(ids, rows)
    (grad,) = torch.autograd.grad(wanted, rows, slope)
    rows.grad = torch.zeros_like(rows)
    found = look_up(rows, ids)
    found.backward(slope)  # type: ignore[no-untyped-call]
    assert torch.equal(found, wanted)
    assert torch.equal(rows.grad, grad)


def test_gradients_add_up() -> None:
    rows = torch.zeros(3, 2, requires_grad=True)
    rows.grad = torch.ones(3, 2)
    (look_up(rows, torch.tensor([1])).sum() + 2 * look_up(rows, torch.tensor([1, 2])).sum()).backward()
    assert rows.grad.tolist() == [[1, 1], [4, 4], [3, 3]]


@pytest.mark.parametrize(
    ("embedding", "expected"),
    [
        (nn.Embedding(3, 2), True),
        (nn.Embedding(3, 2, padding_idx=0), False),
        (nn.Embedding(3, 2, max_norm=1.0), False),
        (nn.Embedding(3, 2, scale_grad_by_freq=True), False),
        (nn.EmbeddingBag(3, 2), False),
        (type("Own", (nn.Embedding,), {"forward": lambda self, ids: self.weight[ids] * 2})(3, 2), False),
    ],
)
def test_what_is_plain(embedding: nn.Module, expected: bool) -> None:
    assert plain(embedding) is expected


@pytest.mark.parametrize("width", [2, 32])
def test_rows_are_put_as_they_are(width: int) -> None:
    table = torch.randn(9, width, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([-torch.inf, torch.nan, 1e-45, 7.0, -1e30]).unsqueeze(1).expand(5, width).contiguous()
    places, wanted = torch.tensor([4, 0, 8, 2, 3]), table.clone()
    wanted[places] = rows
    put(table, places, rows)
    assert torch.equal(table.nan_to_num(1.5), wanted.nan_to_num(1.5))


@pytest.mark.parametrize("batch_size", [1, 30], ids=["few rows", "most rows"])
@pytest.mark.parametrize("rule", [inner.Adam(lr=0.01), inner.SGD(lr=0.1)], ids=["adam", "sgd"])
def test_a_step_leaves_no_gradient(batch_size: int, rule: inner.Adam | inner.SGD) -> None:
    options = WalkOptions(batch_size=batch_size, inner=rule, rows="dense", embedding_l2=1e-3)
    with at_work(copy.deepcopy(TwoTables()), DATA, options) as (session, _):
        walked = Walked(
            session, Walk(LocalStore.of(session.module, session.space), (Leg((0, 1, 2)),), seed=3)
        )
        walked.run()
        assert walked.moments.step > 1
        assert not walked.grad.any()


def test_embeddings_are_their_own_again_afterwards() -> None:
    module = TwoTables()
    with at_work(module, DATA, WalkOptions()):
        assert any("forward" in vars(part) for part in module.modules())
    assert not any("forward" in vars(part) for part in module.modules())
