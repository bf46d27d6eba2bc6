"""What a schema says of columns, and of batches that do not fit it."""

from __future__ import annotations

import pytest
import torch

from mamdr.data.schema import Schema
from mamdr.errors import ConfigError, DataError

SCHEMA = Schema(
    ("a", "b"),
    {"user_id": 4, "item_id": 5, "item:tags": 3, "user:of:old": 2, "hour": 24},
    ("context:load", "user_age"),
    {"item:tags": 7},
)


def test_owners_and_kinds() -> None:
    found = {name: (SCHEMA.owner(name), SCHEMA.kind(name)) for name in SCHEMA.features}
    assert found == {
        "user_id": ("user", "category"),
        "item_id": ("item", "category"),
        "item:tags": ("item", "list"),
        "user:of:old": ("user", "category"),
        "hour": ("context", "category"),
        "context:load": ("context", "number"),
        "user_age": ("context", "number"),
    }


@pytest.mark.parametrize("name", ["item:tag", "domain", "label"])
def test_names_that_are_no_features(name: str) -> None:
    for ask in (SCHEMA.owner, SCHEMA.kind):
        with pytest.raises(ConfigError, match=f"no feature is named '{name}'"):
            ask(name)


def test_a_schema_comes_back_from_its_manifest() -> None:
    assert Schema.from_json(SCHEMA.to_json(), {}) == SCHEMA
    assert SCHEMA.to_json().keys() == {"domains", "ids", "numeric", "lists"}


def test_a_manifest_of_before_there_were_lists() -> None:
    said = {"domains": ["a"], "ids": [["user_id", 3]], "numeric": ["item:price"]}
    assert Schema.from_json(said, {}) == Schema(("a",), {"user_id": 3}, ("item:price",))


GOOD = {
    "user_id": torch.tensor([0, 3]),
    "item:tags": torch.tensor([[1, 2, 0], [0, 0, 0]]),
    "domain": torch.tensor([1, 1]),
    "context:load": torch.tensor([0.5, 9.0]),
    "else": torch.tensor([100, 100]),
}


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        (
            "user_id",
            torch.tensor([0, 4]),
            "'user_id' of a batch holds ids from 0 to 4; expected ids from 0 to 3",
        ),
        (
            "item:tags",
            torch.tensor([[-1]]),
            "'item:tags' of a batch holds ids from -1 to -1; expected ids from 0 to 2",
        ),
        (
            "domain",
            torch.tensor([2, 0]),
            "'domain' of a batch holds ids from 0 to 2; expected ids from 0 to 1",
        ),
        ("item:tags", torch.tensor([1, 2]), r"has shape \(2,\); expected \[rows, ids\], padded with 0"),
        ("user_id", torch.tensor([[1, 2]]), r"has shape \(1, 2\); expected \[rows\]"),
    ],
)
def test_batches_that_do_not_fit(name: str, column: torch.Tensor, message: str) -> None:
    SCHEMA.check(GOOD)
    with pytest.raises(DataError, match=message):
        SCHEMA.check(GOOD | {name: column})
