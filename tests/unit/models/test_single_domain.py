"""WDL, DeepFM, NeurFM and AutoInt: the models' suite, and scores equal to plain loops over their equations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.oracles import models as oracle
from tests.unit.models.zoo import (
    DATA,
    SCHEMA,
    SMALL,
    layer_of,
    layers_of,
    listed,
    lively,
    mixed_batch,
    one_domain,
)
from torch import nn

from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError
from mamdr.models import MODELS, WDL, AutoInt, DeepFM, DeepFMConfig, NeurFM, build
from mamdr.models.fields import Fields, Wide, interactions

NAMES = ["wdl", "neurfm", "autoint", "deepfm"]


def _wide(wide: Wide, batch: Batch, row: int) -> float:
    """Σ over ids, numbers and the domain of their own weights."""
    total = 0.0
    for name, table in zip([*SCHEMA.ids, "domain"], wide.inputs.tables, strict=True):
        total += table.weight[int(batch[name][row])].item()  # type: ignore[index, operator]
    for name, weight in zip(SCHEMA.numeric, listed(wide.numeric), strict=True):  # type: ignore[arg-type]
        total += batch[name][row].item() * weight
    return total


def _fields(fields: Fields, batch: Batch, row: int) -> tuple[list[list[float]], list[float]]:
    """A row's F vectors, and what its deep part is given."""
    assert fields.numeric is not None
    tables: list[Any] = list(fields.inputs.tables)
    ids = [listed(t.weight[int(batch[n][row])]) for n, t in zip(SCHEMA.ids, tables, strict=False)]
    domain = listed(tables[-1].weight[int(batch["domain"][row])])
    numbers = [batch[name][row].item() for name in SCHEMA.numeric]
    vectors = [[x * v for v in vs] for x, vs in zip(numbers, listed(fields.numeric), strict=True)]
    return [*ids, *vectors, domain], [*(v for vs in ids for v in vs), *numbers, *domain]


def _expected(module: nn.Module, batch: Batch, row: int) -> float:
    deep, out = layers_of(module.deep), layer_of(module.out)  # type: ignore[arg-type]
    wide = _wide(module.wide, batch, row)  # type: ignore[arg-type]
    if isinstance(module, WDL):
        flat: list[float] = []
        for name, table in zip(SCHEMA.ids, module.inputs.tables, strict=False):
            flat += listed(table.weight[int(batch[name][row])])  # type: ignore[index, operator]
        flat += [batch[name][row].item() for name in SCHEMA.numeric]
        flat += listed(module.inputs.tables[-1].weight[int(batch["domain"][row])])  # type: ignore[index, operator]
        return wide + oracle.linear(out, oracle.hidden(deep, flat))[0]
    fields, flat = _fields(module.fields, batch, row)  # type: ignore[arg-type]
    if isinstance(module, DeepFM):
        second = oracle.factorisation_machine(fields)
        return wide + second + oracle.linear(out, oracle.hidden(deep, flat))[0]
    if isinstance(module, NeurFM):
        return wide + oracle.linear(out, oracle.hidden(deep, oracle.bi_interaction(fields)))[0]
    assert isinstance(module, AutoInt)
    for layer in module.attention:
        kernels = [listed(part) for part in layer.project.weight.chunk(4)]  # type: ignore[union-attr, operator]
        fields = oracle.attention(fields, *kernels, heads=2)
    attended = [value for vector in fields for value in vector]
    return wide + oracle.linear(out, [*attended, *oracle.hidden(deep, flat)])[0]


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_oracles(name: str) -> None:
    module, batch = lively(build(name, SCHEMA, SMALL[name])), mixed_batch(8)
    expected = [_expected(module, batch, row) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_domain", [True, False])
def test_a_batch_of_one_domain_scores_as_rows_of_it_in_any_batch(name: str, by_domain: bool) -> None:
    module = lively(build(name, SCHEMA, SMALL[name] | {"domain_embedding": by_domain}))
    batch = one_domain(mixed_batch(), 2)
    copied = batch | {"domain": batch["domain"].clone(memory_format=torch.contiguous_format)}
    torch.testing.assert_close(module(batch), module(copied))
    other = module(one_domain(batch, 1))
    assert torch.allclose(other, module(batch)) is not by_domain


@pytest.mark.parametrize("name", NAMES)
def test_ids_alone_make_a_model(name: str) -> None:
    schema = Schema(SCHEMA.domains, dict(SCHEMA.ids))
    module = lively(build(name, schema, SMALL[name]))
    assert module(mixed_batch(5, schema)).shape == (5,)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_sizes_are_the_default(name: str) -> None:
    config = MODELS[name][0]()
    assert (config.embedding, config.hidden, config.dropout) == (128, (256, 128, 64), 0.5)
    assert getattr(config, "heads", 4) == 4


def test_the_attention_of_one_head_over_equal_features_is_their_mean() -> None:
    """Equal features agree equally, so that each takes the value itself."""
    module = build("autoint", SCHEMA, SMALL["autoint"])
    assert isinstance(module, AutoInt)
    layer: Any = module.attention[0]
    x = torch.randn(1, 1, 4).expand(2, 3, 4)
    _, _, value, residual = layer.project(x).chunk(4, dim=2)
    torch.testing.assert_close(layer(x), torch.relu(value + residual))


def test_one_feature_has_no_interactions() -> None:
    assert not interactions(torch.randn(3, 1, 4, dtype=torch.float64)).abs().gt(1e-12).any()


def test_embeddings_that_enter_by_products_alone_start_larger() -> None:
    """NFM's 0.01, where all else starts from 1e-4: products of those would be near 1e-8."""
    for name, std in (("neurfm", 1e-2), ("deepfm", 1e-4)):
        module: Any = build(name, SCHEMA, {"embedding": 64})
        rows = torch.cat([*(table.weight for table in module.fields.inputs.tables), module.fields.numeric])
        assert rows.detach().std().item() == pytest.approx(std, rel=0.05)


def test_frozen_vectors_of_another_width_are_brought_to_that_of_the_fields() -> None:
    vectors = torch.randn(SCHEMA.ids["item_id"], 4)
    same, other = (Fields(SCHEMA, width, frozen={"item_id": vectors}) for width in (4, 6))
    assert not list(same.project.parameters())
    batch, _ = next(DATA.train.batches([0], 8, None))
    (matrix,) = other.project.parameters()
    place, ids = list(SCHEMA.ids).index("item_id"), batch["item_id"].tolist()
    wanted = [
        [sum(p * x for p, x in zip(row, listed(vectors[item]), strict=True)) for row in listed(matrix)]
        for item in ids
    ]
    rows, _, fields = other(batch)
    torch.testing.assert_close(fields[:, place], torch.tensor(wanted))
    assert torch.equal(same(batch)[2][:, place], vectors[batch["item_id"]])
    assert rows.shape[1] == sum(other.widths) + len(SCHEMA.numeric)
    module = DeepFM(SCHEMA, DeepFMConfig(embedding=8, hidden=(6,)), {"item_id": vectors})
    assert module(batch).shape == (8,)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden", [8, 0], "model.hidden.1 = 0; expected greater than or equal to 1"),
        ("hidden", [], "model.hidden = .*at least 1 item"),
        ("embedding", 0, "model.embedding = 0; expected greater than or equal to 1"),
        ("dropout", 1.0, "model.dropout = 1.0; expected less than 1"),
        ("widths", 3, "unknown key model.widths"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(name: str, key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, SCHEMA, {key: value})


@pytest.mark.parametrize("key", ["heads", "head", "layers"])
def test_no_heads_or_layers_make_no_attention(key: str) -> None:
    with pytest.raises(ConfigError, match=f"model.{key} = 0; expected greater than or equal to 1"):
        build("autoint", SCHEMA, {key: 0})
