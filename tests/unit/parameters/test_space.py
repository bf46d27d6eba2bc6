"""How a module's parameters are sorted, by what owns them."""

from __future__ import annotations

import pytest
import torch
from tests.unit.engine.zoo import make
from torch import nn

from mamdr.errors import ModelError
from mamdr.parameters import Space
from mamdr.testing import TiedTables, TwoTables


def test_layout_follows_the_module() -> None:
    space = Space.of(TwoTables(width=4))
    assert [(p.name, p.offset, p.size) for p in space.dense] == [
        ("hidden.weight", 0, 48),
        ("hidden.bias", 48, 6),
        ("logit.weight", 54, 6),
        ("logit.bias", 60, 1),
    ]
    assert [(t.name, t.rows, t.dim, t.owners) for t in space.tables] == [
        ("user.weight", 23, 4, ("user",)),
        ("item.weight", 17, 4, ("item",)),
    ]
    assert space.dense_size == 61
    assert space.size((torch.tensor([1, 2]), torch.tensor([0]))) == 61 + 12
    assert space.specific == set(space.names)


def test_a_tied_table_is_one_table_with_two_owners() -> None:
    (table,) = Space.of(TiedTables()).tables
    assert table.owners == ("user", "item")


def test_a_weight_that_a_linear_layer_shares_is_dense() -> None:
    assert [table.name for table in Space.of(make("shared with a linear layer")).tables] == ["user.weight"]


def test_bags_are_tables_and_frozen_weights_are_left_out() -> None:
    assert [table.name for table in Space.of(make("bag mean")).tables] == ["bag.weight"]
    assert [table.name for table in Space.of(make("frozen table")).tables] == ["item.weight"]


def test_weights_held_whole_on_demand() -> None:
    space = Space.of(TwoTables(), keep_dense=["user.weight"])
    assert [table.name for table in space.tables] == ["item.weight"]
    assert "user.weight" in [part.name for part in space.dense]


def test_modules_without_tables_or_without_dense_parameters() -> None:
    assert Space.of(nn.Linear(2, 1)).tables == ()
    space = Space.of(nn.Embedding(4, 2))
    assert (space.dense_size, space.size(space.all_ids()), space.size(space.no_ids())) == (0, 8, 0)


def test_what_cannot_be_sorted() -> None:
    with pytest.raises(ModelError, match="no trainable parameter"):
        Space.of(nn.ReLU())
    with pytest.raises(ModelError, match="several kinds"):
        Space.of(nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1).double()]))
    with pytest.raises(ModelError, match="float16"):
        Space.of(nn.Linear(1, 1).half())
