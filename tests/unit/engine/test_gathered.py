"""Frozen vectors gathered at once are what looking them up and pasting them together makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine.gathered import gather, is_gathered
from mamdr.models.inputs import Inputs
from mamdr.testing import tiny_market

DATA: Dataset = tiny_market((30, 21, 10))
SIZES = DATA.schema.ids


def _frozen(width: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(width)
    return {
        name: torch.randn(size, width + n, generator=draw).to(dtype)
        for n, (name, size) in enumerate(SIZES.items())
    }


def _none(embedding: nn.Module) -> None:
    """No rows are changed where they lie."""


def _batch(rows: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(rows)
    ids = {name: torch.randint(size, (rows,), generator=draw) for name, size in SIZES.items()}
    return {**ids, "domain": torch.ones(1, dtype=torch.int64).expand(rows)}


@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_those_of_lookups_one_by_one(rows: int, dtype: torch.dtype) -> None:
    inputs, batch = Inputs(DATA.schema, 4, frozen=_frozen(5, dtype)), _batch(rows)
    assert is_gathered(inputs)
    made = gather(inputs, _none, batch)
    assert torch.equal(made, inputs.rows(batch))
    assert made.dtype == dtype


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_where_somebody_looks_each_table_is_called(register: str) -> None:
    inputs, seen = Inputs(DATA.schema, 4, frozen=_frozen(5)), []
    hook: Callable[..., None] = lambda *_: seen.append(1)  # noqa: E731
    getattr(inputs.tables[1], register)(hook)
    assert torch.equal(gather(inputs, _none, _batch(7)), inputs.rows(_batch(7)))
    assert len(seen) == 2


def test_trained_tables_that_nobody_changes_in_place_are_called() -> None:
    inputs = Inputs(DATA.schema, 4)
    assert is_gathered(inputs)
    assert torch.equal(gather(inputs, _none, _batch(7)), inputs.rows(_batch(7)))


def test_other_inputs_are_not_gathered() -> None:
    mixed = _frozen(5)
    mixed["user_id"] = mixed["user_id"].double()
    assert not is_gathered(Inputs(DATA.schema, 4, frozen=mixed))
    assert not is_gathered(torch.nn.Linear(2, 2))
    own = type("Own", (Inputs,), {"rows": lambda self, batch: None})
    assert not is_gathered(own(DATA.schema, 4, frozen=_frozen(5)))
