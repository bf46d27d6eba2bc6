"""The MLP passes the models' suite, and starts as the authors' does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mamdr.data.domains import Schema
from mamdr.errors import ConfigError
from mamdr.models import build
from mamdr.models.mlp import MLP
from mamdr.testing import ModelConformance, tiny_market

SMALL = {"embedding": 4, "hidden": [8, 4], "dropout": 0.1}
SCHEMA = tiny_market(numeric=True).schema


class TestMLPWithoutHiddenLayersOrDomain(ModelConformance):
    """A linear model: a checkerboard is beyond it."""

    interactions = False
    knows_domain = False

    def module(self, schema: Schema) -> nn.Module:
        return build("mlp", schema, {"embedding": 4, "hidden": [], "domain_embedding": False})


def _linear(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


def test_sizes_follow_the_settings() -> None:
    module = build("mlp", SCHEMA, SMALL)
    assert isinstance(module, MLP)
    assert module.inputs.width == 4 * 4 + 1  # user, item, hour and the domain; the price
    assert [(part.in_features, part.out_features) for part in _linear(module)] == [(17, 8), (8, 4), (4, 1)]
    assert [table.num_embeddings for table in module.inputs.tables] == [23, 17, 5, 4]
    assert sum(isinstance(part, nn.Dropout) for part in module.modules()) == 2


def test_paper_sizes_are_the_default() -> None:
    module = build("mlp", SCHEMA)
    assert [part.out_features for part in _linear(module)] == [256, 128, 64, 1]
    assert {part.p for part in module.modules() if isinstance(part, nn.Dropout)} == {0.5}


def test_first_values_are_small_embeddings_glorot_kernels_and_zero_biases() -> None:
    module = build("mlp", SCHEMA, {"embedding": 64})
    assert isinstance(module, MLP)
    rows = torch.cat([table.weight for table in module.inputs.tables])
    assert rows.detach().std().item() == pytest.approx(1e-4, rel=0.05)
    for part in _linear(module)[:2]:
        assert part.weight.detach().std().item() == pytest.approx(
            (2 / (part.in_features + part.out_features)) ** 0.5, rel=0.05
        )
        assert not part.bias.any()


def test_the_seed_decides_the_first_values_and_nothing_else_does() -> None:
    before = torch.get_rng_state()
    one, same, other = (build("mlp", SCHEMA, SMALL, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mlpp", {}, "unknown model 'mlpp'; .*Did you mean 'mlp'?"),
        ("mlp", {"embeding": 8}, "unknown key model.embeding; .*Did you mean 'embedding'?"),
        ("mlp", {"embedding": 0}, "model.embedding = 0; expected greater than or equal to 1"),
        ("mlp", {"hidden": [8, -1]}, "model.hidden.1 = -1; expected greater than or equal to 1"),
        ("mlp", {"dropout": 1.0}, "model.dropout = 1.0; expected less than 1"),
    ],
)
def test_what_does_not_fit_is_one_line(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, SCHEMA, settings)
