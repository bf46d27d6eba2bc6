"""Looking at a module: which columns feed which table, what must be held whole, and what is said of one that fails."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.unit.engine.zoo import ZOO, Head, make
from torch import Tensor, nn

from mamdr.data.domains import Batch
from mamdr.engine import trace
from mamdr.errors import ModelError
from mamdr.testing import TwoTables, tiny_market

SCHEMA = tiny_market(numeric=True).schema


def _columns(name: str) -> dict[str, tuple[str, ...] | None]:
    return {table.name: table.columns for table in trace(make(name), SCHEMA).tables}


def test_columns_are_recognised_by_their_values() -> None:
    assert _columns("same column twice") == {"wide.weight": ("user_id",), "deep.weight": ("user_id",)}
    assert _columns("one table, two columns") == {"table.weight": ("item_id", "user_id")}
    assert _columns("padding, tied") == {"user.weight": ("item_id", "user_id")}
    assert _columns("unused table")["never.weight"] == ()


@pytest.mark.parametrize("name", ["bag mean", "offsets", "hashed", "bag offsets"])
def test_ids_made_in_forward_are_watched_for(name: str) -> None:
    assert set(_columns(name).values()) == {None}


def test_ids_changed_in_training_alone_are_noticed() -> None:
    assert _columns("random ids") == {"user.weight": None, "item.weight": ("item_id",)}


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("shared with a linear layer", "item.weight"),
        ("weight used elsewhere", "user.weight"),
        ("weight used elsewhere", "item.weight"),
        ("weight used elsewhere in training", "item.weight"),
        ("shape read", "item.weight"),
    ],
)
def test_weights_with_another_use_are_held_whole(name: str, whole: str) -> None:
    space = trace(make(name), SCHEMA)
    assert whole in [part.name for part in space.dense]


def test_frozen_parameters_are_left_out() -> None:
    assert "user.weight" not in trace(make("frozen table"), SCHEMA).names


def test_what_may_be_specific_is_chosen_by_name() -> None:
    space = trace(TwoTables(), SCHEMA, specific=lambda name: name.startswith("user"))
    assert space.specific == {"user.weight"}


@pytest.mark.parametrize("name", list(ZOO))
def test_a_look_leaves_the_module_and_the_random_state_as_they_were(name: str) -> None:
    module = make(name)
    before, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    module.hidden.eval() if isinstance(module, Head) else None
    modes = [part.training for part in module.modules()]
    trace(module, SCHEMA)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in module.modules()] == modes
    assert not any(part._forward_pre_hooks for part in module.modules())


class Bad(nn.Module):
    """One embedding, and a forward made of a function."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.user = kind, nn.Embedding(5 if kind == "small" else 23, 1)

    def forward(self, batch: Batch) -> Tensor | list[Tensor]:
        if self.kind == "name":
            return self.user(batch["brand"]).squeeze(1)
        logits = self.user(batch["user_id"])
        if self.kind == "nan":
            return logits.squeeze(1) * float("nan")
        if self.kind == "list":
            return [logits.squeeze(1)]
        return logits if self.kind == "shape" else logits.squeeze(1)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "name",
            "reads 'brand' from a batch; expected one of the columns domain, hour, item_id, price, user_id",
        ),
        ("shape", r"forward returned \(257, 1\) for 257 rows; expected logits of shape \(257,\)"),
        ("list", "forward returned list for 257 rows"),
        (
            "small",
            "the embedding 'user' has 5 rows, and column 'user_id' holds ids up to 22; expected 23 rows",
        ),
        ("nan", "logits that are not finite"),
    ],
)
def test_a_module_that_does_not_fit_is_told_so(kind: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        trace(Bad(kind), SCHEMA)


class NoParameters(nn.Module):
    def forward(self, batch: Batch) -> Tensor:
        return batch["price"]


def test_nothing_to_train_and_mixed_types() -> None:
    with pytest.raises(ModelError, match="no trainable parameter"):
        trace(NoParameters(), SCHEMA)
    mixed = TwoTables()
    mixed.hidden.double()
    with pytest.raises(ModelError, match=r"several kinds: torch.float32 on cpu, torch.float64 on cpu"):
        trace(mixed, SCHEMA)
    with pytest.raises(ModelError, match=r"parameters of type torch.bfloat16"):
        trace(TwoTables().bfloat16(), SCHEMA)
