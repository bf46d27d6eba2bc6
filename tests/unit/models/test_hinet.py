"""HiNet: sub-experts, whom a domain takes from, and scores equal to plain loops."""

from __future__ import annotations

from typing import Any

import torch
from tests.oracles import models_newer_b as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    experts_of,
    input_of,
    layer_of,
    layers_of,
    listed,
    lively,
    mixed_batch,
    network_of,
    one_domain,
)

from mamdr.data.domains import Batch
from mamdr.models import HiNet, build
from mamdr.models.hinet import SubExperts


def _groups(part: SubExperts) -> list[oracle.Gated]:
    groups, count = part.shape
    experts, (kernel, bias) = experts_of(part.experts), layer_of(part.gates)
    cuts = [slice(number * count, (number + 1) * count) for number in range(groups)]
    return [((kernel[cut], bias[cut]), experts[cut]) for cut in cuts]


def _score(module: Any, batch: Batch, row: int) -> float:
    domain = int(batch["domain"][row])
    shared, *others = _groups(module.common)
    return oracle.hinet(
        input_of(module.inputs, batch, row),
        listed(module.inputs.tables[-1].weight[domain]),
        shared=shared,
        own=(network_of(module.own_gates, domain)[0], experts_of(module.own, domain)),
        others=others,
        attention=layer_of(module.attention),
        task=_groups(module.tasks)[0],
        tower=[*layers_of(module.tower), layer_of(module.out)],
    )


def test_scores_are_the_oracles() -> None:
    module, batch = lively(build("hinet", SCHEMA, SMALL["hinet"])), mixed_batch(8)
    expected = [_score(module, batch, row) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_one_sub_expert_has_no_gate_to_speak_of() -> None:
    part = SubExperts(4, [3], groups=2, count=1, dropout=0.0)
    rows = torch.randn(5, 4)
    assert torch.equal(part(rows), part.experts(rows))


def test_the_domains_embedding_chooses_whom_it_takes_from() -> None:
    """With all attention on one expert, the other domains' experts have no say, and get no gradient."""
    module = lively(build("hinet", SCHEMA, SMALL["hinet"]))
    assert isinstance(module, HiNet)
    with torch.no_grad():
        module.attention.weight.zero_()
        module.attention.bias.copy_(torch.tensor([0.0, 1e4, 0.0]))
    module(one_domain(mixed_batch(), 1)).sum().backward()
    moved = module.common.experts.biases[-1].grad
    assert moved is not None
    assert moved.view(4, 2, -1).abs().sum((1, 2)).gt(0).tolist() == [True, False, True, False]
