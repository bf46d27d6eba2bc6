"""M2M's generated layers: equal to plain loops, one set a domain, common where they start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.oracles import models as plain
from tests.oracles import models_newer_a as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    experts_of,
    input_of,
    larger,
    layer_of,
    listed,
    lively,
    mixed_batch,
    one_domain,
)
from torch import nn

from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError
from mamdr.models import M2M, M2MConfig, build
from mamdr.models.m2m import MetaAttention, MetaTower, MetaUnit
from mamdr.models.routing import Routing
from mamdr.testing import ModelConformance

BY_LAYERS = SMALL["m2m"] | {"domain_embedding": False}


class TestM2MThatKnowsTheDomainByItsLayers(ModelConformance):
    def module(self, schema: Schema) -> nn.Module:
        return build("m2m", schema, BY_LAYERS)

    def learner(self, schema: Schema) -> nn.Module:
        return build("m2m", schema, larger(BY_LAYERS))


def _m2m(settings: dict[str, Any] = SMALL["m2m"]) -> M2M:
    module = build("m2m", SCHEMA, settings)
    assert isinstance(module, M2M)
    return module


def _generators(unit: Any) -> list[Any]:
    return [layer_of(generator) for generator in unit.generators]


def _score(module: Any, batch: Batch, row: int) -> float:
    embedding = listed(module.domains.weight[int(batch["domain"][row])])
    x = input_of(module.inputs, batch, row)
    knowledge = oracle.leaky(plain.linear(layer_of(module.know), embedding))
    x = x + embedding if module.by_domain else x
    experts = [plain.hidden(expert, x) for expert in experts_of(module.experts)]
    attention = module.attention
    score = listed(attention.score.weight)[0]
    mixed = oracle.meta_attention(_generators(attention.unit), score, knowledge, experts)
    tower = oracle.meta_tower([_generators(unit) for unit in module.tower.units], knowledge, mixed)
    return plain.linear(layer_of(module.out), tower)[0]


@pytest.mark.parametrize("settings", [SMALL["m2m"], BY_LAYERS])
def test_scores_are_the_oracles(settings: dict[str, Any]) -> None:
    module, batch = lively(_m2m(settings)), mixed_batch(8)
    expected = [_score(module, batch, row) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_a_meta_unit_is_the_oracles() -> None:
    unit = lively(MetaUnit(3, 4, 2))
    assert isinstance(unit, MetaUnit)
    rows, knowledge = torch.randn(5, 4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    expected = [oracle.meta_unit(_generators(unit), knowledge.tolist(), row) for row in rows.tolist()]
    found = unit(rows, unit.generate(knowledge))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_a_meta_unit_by_hand() -> None:
    """Knowledge 2 makes the kernel [[2, 0], [0, -2]] and the bias [1, 0]: (3, 4) becomes (7, -8), and leaks."""
    unit = MetaUnit(1, 2, 1)
    [generator] = unit.generators
    assert isinstance(generator, nn.Linear)
    with torch.no_grad():
        generator.weight.copy_(torch.tensor([[1.0], [0.0], [0.0], [-1.0], [0.0], [0.0]]))
        generator.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    out = unit(torch.tensor([[3.0, 4.0]]), unit.generate(torch.tensor([2.0])))
    torch.testing.assert_close(out, torch.tensor([[7.0, -0.08]]))


def test_attention_and_tower_of_several_domains_at_once_are_those_of_each() -> None:
    """Rows by knowledge, whoever else is in the batch; experts side by side are met one by one."""
    routing = Routing(torch.tensor([1, 0, 1, 1, 2, 0]))
    knowledge = torch.randn(3, 3, dtype=torch.float64)
    experts = torch.randn(6, 2, 4, dtype=torch.float64)
    attention, tower = lively(MetaAttention(3, 4, 2)), lively(MetaTower(3, 4, 2, 3))
    scores, towered = attention(routing, knowledge, experts), tower(routing, knowledge, experts[:, 0])
    for row in range(6):
        alone, mine = Routing(routing.domain[row : row + 1]), knowledge[routing.which[row]].unsqueeze(0)
        torch.testing.assert_close(scores[row : row + 1], attention(alone, mine, experts[row : row + 1]))
        torch.testing.assert_close(towered[row : row + 1], tower(alone, mine, experts[row : row + 1, 0]))


def test_a_tower_whose_units_give_nothing_passes_what_is_positive() -> None:
    tower = MetaTower(3, 4, 1, 2)
    for parameter in tower.parameters():
        nn.init.zeros_(parameter)
    rows = torch.rand(5, 4)
    out = tower(Routing(torch.tensor([1]).expand(5)), torch.randn(1, 3), rows)
    assert torch.equal(out, rows)


def test_layers_are_generated_once_for_each_domain_of_a_batch() -> None:
    module, seen = _m2m(), list[int]()
    module.know.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    for unit in module.modules():
        if isinstance(unit, MetaUnit):
            for generator in unit.generators:
                generator.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    batch = mixed_batch(64) | {"price": torch.randn(64)}
    module(batch | {"domain": torch.tensor([2, 0]).repeat(32)})
    assert seen == [2] * 7  # what is known; 2 layers of the attention; 2 · 2 of the tower
    seen.clear()
    module(one_domain(batch, 3))
    assert seen == [1] * 7


def test_equal_embeddings_make_equal_domains() -> None:
    module, batch = _m2m(), mixed_batch()
    lively(module)
    with torch.no_grad():
        module.domains.weight[3] = module.domains.weight[1]
    assert torch.equal(module(one_domain(batch, 1)), module(one_domain(batch, 3)))


def test_generated_layers_start_near_a_common_one_that_starts_as_plain_layers_do() -> None:
    module = build("m2m", SCHEMA, {"embedding": 16})
    assert isinstance(module, M2M)
    known = torch.nn.functional.leaky_relu(module.know(module.domains.weight))
    [made] = module.attention.unit.generate(known)
    kernels, biases = made[:, : 64 * 64], made[:, 64 * 64 :]
    assert made.std(0).max() < 1e-3
    assert kernels.std().item() == pytest.approx(1 / 8, rel=0.05)
    assert biases.abs().max() < 1e-3


def test_the_sizes_of_the_others_are_the_default() -> None:
    config = M2MConfig()
    assert (config.embedding, config.experts, config.dropout) == (128, (256, 128, 64), 0.5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("experts", [8, 0], "model.experts.1 = 0; expected greater than or equal to 1"),
        ("count", 1, "model.count = 1; expected greater than or equal to 2"),
        ("knowledge", 0, "model.knowledge = 0; expected greater than or equal to 1"),
        ("unit", 0, "model.unit = 0; expected greater than or equal to 1"),
        ("tower", 0, "model.tower = 0; expected greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("m2m", SCHEMA, {key: value})
