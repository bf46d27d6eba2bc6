"""Every model by name takes any number of features of any kind."""

from __future__ import annotations

import pytest
import torch
from tests.unit.models.zoo import SMALL, mixed_batch, one_domain

from mamdr.data.domains import Schema
from mamdr.engine import trace
from mamdr.errors import ModelError
from mamdr.models import MODELS, build

DOMAINS = ("a", "b", "c")
KEYS = {"user_id": 9, "item_id": 7}
MANY = KEYS | {f"{owner}:{n}": 3 + n for owner in ("user", "item", "context") for n in range(4)}
SCHEMAS = {
    "two ids": Schema(DOMAINS, KEYS),
    "one list": Schema(DOMAINS, {"item:tags": 5}, lists={"item:tags": 3}),
    "a list of one": Schema(DOMAINS, KEYS | {"item:tags": 5}, lists={"item:tags": 1}),
    "many": Schema(
        DOMAINS,
        MANY,
        ("context:load", "item:price", "user:age"),
        {"user:0": 4, "user:1": 1, "context:2": 6},
        {"user:0": "user:2", "context:2": "item_id"},
        vectors={"item_id": torch.randn(7, 5), "context:1": torch.randn(4, 2)},
    ),
}
SCHEMAS["many"].ids.update({"user:0": MANY["user:2"], "context:2": MANY["item_id"]})


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_logit_a_row_from_rows_of_tables(name: str, kind: str) -> None:
    schema = SCHEMAS[kind]
    module = build(name, schema, SMALL[name]).eval()
    batch = mixed_batch(12, schema)
    batch = {
        column: values.float() if values.is_floating_point() else values for column, values in batch.items()
    }
    for rows in (batch, one_domain(batch, 1)):
        logits = module(rows)
        assert logits.shape == (12,)
        assert torch.isfinite(logits).all()
    assert all(table.columns for table in trace(module, schema).tables)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_numbers_alone(name: str) -> None:
    """No id column at all: the domain and numbers. PEPNet, which goes by who and what a row is, says that it cannot."""
    schema = Schema(DOMAINS, {}, ("item:price",))
    if name == "pepnet":
        with pytest.raises(ModelError, match="no id column in the data"):
            build(name, schema, SMALL[name])
        return
    module = build(name, schema, SMALL[name]).eval()
    batch = {"domain": torch.arange(12) % 3, "item:price": torch.randn(12)}
    assert torch.isfinite(module(batch)).all()
