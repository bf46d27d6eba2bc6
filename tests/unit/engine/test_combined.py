"""Gradients of domains taken apart and put together again: nothing is lost, whatever a module does with its rows."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal

import pytest
import torch
from tests.unit.engine.test_growth import Everything, Nothing
from tests.unit.engine.zoo import ZOO, make
from torch import Tensor, nn

from mamdr.combiners import Seen
from mamdr.engine import Session, Walker, WalkOptions, inner, trace
from mamdr.engine.rows import Rows
from mamdr.errors import TrainingError
from mamdr.parameters import LocalStore
from mamdr.seeds import generator
from mamdr.strategies import Leg, Outcome, Walk
from mamdr.testing import TwoTables, parameters_of, tiny_market

DATA = tiny_market((30, 21, 10, 1), numeric=True)
SGD = inner.SGD(lr=0.2)
BY_BATCH = {
    "scale_grad_by_freq",
    "bag weights",
    "batch norm",
    "functional dropout",
    "random ids",
    "lookup without gradient",
}
"""Modules whose loss of a row depends on the other rows of the mini-batch, or on draws."""


@dataclass
class ByRows:
    """Weighs each domain by its share of the rows, which is training on the mean loss of the mini-batch."""

    needs: Literal["losses", "gram"] = "gram"
    looks_back: bool = False
    factor: float = 1.0
    told: list[Seen] = field(default_factory=list)
    after: list[Tensor | None] = field(default_factory=list)

    def weights(self, seen: Seen) -> Tensor:
        return self.factor * seen.counts / seen.counts.sum().to(torch.float64)

    def learn(self, seen: Seen, weights: Tensor, after: Tensor | None) -> None:
        self.told.append(seen)
        self.after.append(after)


def walked(
    module: nn.Module, options: WalkOptions, legs: tuple[Leg, ...], rows: type[Rows] = Rows
) -> tuple[dict[str, Tensor], Outcome]:
    """The displacement of a walk over legs."""
    module = copy.deepcopy(module)
    space = trace(module, DATA.schema)
    session = Session(module, space, DATA, options)
    session.rows = rows(module, space, DATA.train)
    with session:
        outcome = Walker(session)(Walk(LocalStore.of(copy.deepcopy(module), space), legs, 3))
        return parameters_of(outcome.displacement.copy()), outcome


def close(found: dict[str, Tensor], want: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    assert found.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(found[name], want[name], rtol=0, atol=tolerance)
    assert any(bool(value.any()) for value in want.values())


@pytest.mark.parametrize("needs", ["losses", "gram"])
@pytest.mark.parametrize("name", [name for name in ZOO if name not in BY_BATCH])
def test_by_share_of_rows_it_is_training_on_the_mean_loss(
    name: str, needs: Literal["losses", "gram"]
) -> None:
    module = make(name).double()
    for rows in ("dense", "lazy"):
        options = WalkOptions(batch_size=8, inner=SGD, rows=rows, embedding_l2=0.01)  # type: ignore[arg-type]
        want, _ = walked(module, options, (Leg((0, 1, 2, 3)),))
        found, outcome = walked(module, options, (Leg((0, 1, 2, 3), combiner=ByRows(needs)),))
        close(found, want)
        assert (outcome.samples, outcome.steps) == (62, 8)


@pytest.mark.parametrize("rule", [inner.Adam(lr=0.01), inner.Adagrad(lr=0.1)], ids=["adam", "adagrad"])
@pytest.mark.parametrize("rows", ["dense", "lazy"])
def test_legs_of_both_kinds_in_one_walk(rule: inner.Adam | inner.Adagrad, rows: str) -> None:
    options = WalkOptions(batch_size=8, inner=rule, rows=rows)  # type: ignore[arg-type]
    module = make("padding, tied").double()
    plain = Leg((0,)), Leg((1, 2)), Leg((2,)), Leg((3, 0))
    mixed = plain[0], Leg((1, 2), combiner=ByRows()), plain[2], Leg((3, 0), combiner=ByRows("losses"))
    # Adam makes much of a gradient's last digits where it is all but zero.
    close(walked(module, options, mixed)[0], walked(module, options, plain)[0], 1e-8)


@pytest.mark.parametrize("rows", ["dense", "lazy"])
def test_rows_that_nobody_foresaw(rows: str) -> None:
    """A row missed by a domain makes the point grow while the gradients of those before it are held."""
    options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows=rows)  # type: ignore[arg-type]
    for name in ("random ids", "one table, two columns"):
        legs = (Leg((0, 1, 2, 3), combiner=ByRows()),)
        grown, _ = walked(make(name).double(), options, legs, Nothing)
        whole, _ = walked(make(name).double(), options, legs, Everything)
        close(grown, whole)


def test_what_is_seen_of_a_mini_batch() -> None:
    """Losses and inner products against those of plain gradients of the module."""
    module, combiner = TwoTables().double(), ByRows()
    leg = Leg((0, 1, 2, 3), steps=1, combiner=combiner)
    walked(module, WalkOptions(batch_size=16, inner=SGD), (leg,))
    seen = combiner.told[0]
    assert (len(combiner.told), seen.total, int(seen.counts.sum())) == (1, 4, 16)
    assert combiner.after == [None]
    batch, labels = next(DATA.train.batches((0, 1, 2, 3), 16, generator(3, "batches", 0)))
    each = []
    for number, domain in enumerate(seen.domains.tolist()):
        mine = batch["domain"] == domain
        loss = nn.functional.binary_cross_entropy_with_logits(
            module({name: column[mine] for name, column in batch.items()}), labels[mine].double()
        )
        assert float(loss.detach()) == pytest.approx(float(seen.losses[number]), rel=1e-12)
        assert int(mine.sum()) == int(seen.counts[number])
        found = torch.autograd.grad(loss, list(module.parameters()))
        each.append(torch.cat([gradient.flatten() for gradient in found]))
    gradients = torch.stack(each)
    assert seen.gram is not None
    torch.testing.assert_close(seen.gram, gradients @ gradients.T, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("needs", ["losses", "gram"])
@pytest.mark.parametrize("name", ["functional dropout", "batch norm", "random ids", "max_norm"])
def test_looking_back_sees_the_same_draws_and_leaves_no_trace(
    name: str, needs: Literal["losses", "gram"]
) -> None:
    still = WalkOptions(batch_size=8, inner=inner.SGD(lr=1e-12))
    combiner = ByRows(needs, looks_back=True)
    walked(make(name).double(), still, (Leg((0, 1, 2, 3), combiner=combiner),))
    for seen, after in zip(combiner.told, combiner.after, strict=True):
        assert after is not None
        # One row is normalised by the running statistics, which the domains after it have moved since.
        apart = seen.counts > 1 if (name, needs) == ("batch norm", "gram") else slice(None)
        torch.testing.assert_close(after[apart], seen.losses[apart], rtol=0, atol=1e-9)
    options = WalkOptions(batch_size=8, inner=SGD, embedding_l2=0.1)
    ends = [
        walked(make(name), options, (Leg((0, 1, 2, 3), combiner=ByRows(needs, looks)),))
        for looks in (False, True)
    ]
    close(ends[1][0], ends[0][0], 0.0)
    assert ends[0][1].buffers.keys() == ends[1][1].buffers.keys()
    for name_, value in ends[0][1].buffers.items():
        assert torch.equal(value, ends[1][1].buffers[name_])


def test_looking_back_sees_that_the_step_was_made() -> None:
    combiner = ByRows("losses", looks_back=True)
    walked(make("padding").double(), WalkOptions(batch_size=8, inner=SGD), (Leg((0, 1), combiner=combiner),))
    for seen, after in zip(combiner.told, combiner.after, strict=True):
        assert after is not None
        share = seen.counts / seen.counts.sum()
        assert float((share * after).sum()) < float((share * seen.losses).sum())


@pytest.mark.parametrize("needs", ["losses", "gram"])
def test_what_is_no_number_ends_training(needs: Literal["losses", "gram"]) -> None:
    # Products of rows: after one far step they are beyond float32, whatever the order of rounding.
    module, options = make("only tables"), WalkOptions(batch_size=8, inner=SGD)
    wild = Leg((0, 1), combiner=ByRows(needs, factor=float("nan")))
    with pytest.raises(TrainingError, match="ByRows gave a weight that is no finite number"):
        walked(module, options, (wild,))
    far = Leg((0, 1), combiner=ByRows(needs, factor=1e30))
    with pytest.raises(TrainingError, match=r"the training loss became (nan|inf) in domain \([01],\)"):
        walked(module, options, (far,))
