"""Counts without values are those of the modules."""

from __future__ import annotations

import pytest
from tests.unit.models.zoo import SCHEMA, SMALL

from mamdr.errors import ConfigError
from mamdr.models import MODELS, build
from mamdr.models.sizes import REFERENCE, size, sizes


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_count_is_the_modules(name: str) -> None:
    module, counted = build(name, SCHEMA, SMALL[name]), size(name, SCHEMA, SMALL[name])
    assert counted["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    parts = counted["embeddings"] + counted["network"] + counted["per_domain"] * len(SCHEMA.domains)
    assert parts == counted["parameters"]
    tables = {f"inputs.tables.{number}.weight" for number in range(len(SCHEMA.ids))}
    ids = sum(p.numel() for key, p in module.named_parameters() if key.endswith(tuple(tables)))
    assert counted["embeddings"] == ids


def test_every_model_is_counted_at_its_defaults() -> None:
    """A domain of the MLP has its embedding alone; of STAR also factors and normalisation."""
    counted = sizes()
    assert counted.keys() == MODELS.keys()
    assert counted["mlp"]["embeddings"] == 15_000 * 128
    assert counted["mlp"]["per_domain"] == 128
    star = 2 * 256 + sum(size * (width + 1) for width, size in [(256, 256), (256, 128), (128, 64), (64, 1)])
    assert counted["star"]["per_domain"] == 128 + star
    assert counted["cgc"]["settings"]["specific"] == 10


def test_a_name_that_is_none() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'star'"):
        size("stat", REFERENCE)
