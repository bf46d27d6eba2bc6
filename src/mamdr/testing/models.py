"""What every model must do: take batches, return a logit a row, learn, and depend on a row's own features alone."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from mamdr.data.domains import Batch, Dataset, Schema
from mamdr.engine import trace
from mamdr.strategies import Alternate
from mamdr.testing.lab import parameters_of, same_bits, train
from mamdr.testing.market import tiny_market


class ModelConformance(ABC):
    """Tests of a model: subclass it, name the subclass Test..., return a module built for a schema."""

    @abstractmethod
    def module(self, schema: Schema) -> nn.Module:
        """A fresh module; the same values at every call."""

    def data(self) -> Dataset:
        return tiny_market(numeric=True)

    def _batch(self, data: Dataset) -> Batch:
        batch, _ = next(data.train.batches([0, 1, 2], 16, None))
        return batch

    def test_forward_returns_a_finite_logit_a_row(self) -> None:
        data = self.data()
        logits = self.module(data.schema)(self._batch(data))
        assert logits.shape == (16,)
        assert torch.isfinite(logits).all()

    def test_one_row_makes_a_batch(self) -> None:
        data = self.data()
        batch = {name: column[:1] for name, column in self._batch(data).items()}
        assert self.module(data.schema).eval()(batch).shape == (1,)

    def test_a_score_does_not_depend_on_the_other_rows(self) -> None:
        data = self.data()
        module, batch = self.module(data.schema).eval(), self._batch(data)
        order = torch.randperm(16, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            straight = module(batch)[order]
            shuffled = module({name: column[order] for name, column in batch.items()})
        torch.testing.assert_close(straight, shuffled, rtol=1e-5, atol=1e-6)

    def test_the_batch_is_left_as_it_was(self) -> None:
        data = self.data()
        batch = self._batch(data)
        before = {name: column.clone() for name, column in batch.items()}
        self.module(data.schema)(batch)
        assert batch.keys() == before.keys()
        assert all(torch.equal(batch[name], before[name]) for name in before)

    def test_every_parameter_can_learn(self) -> None:
        """After a few rounds no parameter is where it started."""
        data = self.data()
        module = self.module(data.schema)
        start = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
        end = parameters_of(train(module, data, Alternate(), rounds=2).shared)
        still = [name for name in start if torch.equal(start[name], end[name])]
        assert still == []

    def test_training_is_the_same_every_time(self) -> None:
        data = self.data()
        one, two = (train(self.module(data.schema), data, Alternate(), rounds=1) for _ in range(2))
        assert same_bits(one, two)

    def test_the_engine_can_hold_its_tables_by_rows(self) -> None:
        """Every table is fed by columns: a module whose tables must be held whole does not scale."""
        data = self.data()
        space = trace(self.module(data.schema), data.schema)
        assert all(table.columns for table in space.tables)
