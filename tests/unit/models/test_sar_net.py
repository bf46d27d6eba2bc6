"""SAR-Net's bias nets, and where every domain begins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.oracles import models_newer_b as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    experts_of,
    input_of,
    layer_of,
    listed,
    lively,
    mixed_batch,
    network_of,
    one_domain,
)
from torch import nn

from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError
from mamdr.models import SARNet, build
from mamdr.models.routing import Routing
from mamdr.testing import ModelConformance

DEBIASED = SMALL["sar_net"] | {"intervention": "price"}


class TestSARNetWithBiasNets(ModelConformance):
    def module(self, schema: Schema) -> nn.Module:
        return build("sar_net", schema, DEBIASED)


def _score(module: Any, batch: Batch, row: int, training: bool = False) -> float:
    domain = int(batch["domain"][row])
    x = input_of(module.inputs, batch, row)
    kept = listed(module.transform.own.weight[domain])
    scales, shifts = [1 + value for value in kept[: len(x)]], kept[len(x) :]
    bias = []
    if training:
        (kernel, intercept) = network_of(module.own_bias, domain)[0]
        bias += [(slope, start) for (slope,), start in zip(kernel, intercept, strict=True)]
        bias += [
            (slope, start)
            for (slope,), start in zip(listed(module.bias.weight), listed(module.bias.bias), strict=True)
        ]
    return oracle.sar_net(
        oracle.transform(x, scales, shifts),
        experts=[*experts_of(module.own, domain), *experts_of(module.shared)],
        gate=network_of(module.gates, domain)[0],
        out=layer_of(module.out),
        bias=bias,
        shown=batch["price"][row].item(),
    )


@pytest.mark.parametrize("settings", [SMALL["sar_net"], DEBIASED])
def test_scores_are_the_oracles(settings: dict[str, Any]) -> None:
    module, batch = lively(build("sar_net", SCHEMA, settings)), mixed_batch(8)
    expected = [_score(module, batch, row) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_bias_nets_explain_what_was_shown_by_a_hand_in_training_alone() -> None:
    module, batch = lively(build("sar_net", SCHEMA, DEBIASED | {"dropout": 0.0})), mixed_batch(8)
    scores = module(batch)
    moved = batch | {"price": batch["price"] + 1}
    assert torch.equal(module(moved), scores)
    module.train()
    expected = [_score(module, batch, row, training=True) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))
    assert not torch.isclose(module(moved), module(batch)).any()


def test_every_domain_begins_with_the_features_as_they_are() -> None:
    module = build("sar_net", SCHEMA, SMALL["sar_net"])
    assert isinstance(module, SARNet)
    batch = one_domain(mixed_batch(), 3) | {"price": torch.zeros(24)}
    rows, constant = module.inputs.split(batch)
    moved, same = module.transform(Routing(batch["domain"]), rows, constant)
    assert torch.equal(moved, rows)
    assert same is not None
    assert constant is not None
    assert torch.equal(same, constant)


def test_an_intervention_that_the_data_do_not_have() -> None:
    with pytest.raises(
        ConfigError, match=r"model.intervention = 'hand'; expected a numeric column \(price\)\. Correct it"
    ):
        build("sar_net", SCHEMA, SMALL["sar_net"] | {"intervention": "hand"})
