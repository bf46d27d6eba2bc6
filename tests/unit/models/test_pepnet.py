"""PEPNet's gates: equal to plain loops, without effect where they start, and what their gradients reach."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.oracles import models_newer_a as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    larger,
    layer_of,
    listed,
    lively,
    mixed_batch,
    one_domain,
)
from torch import nn

from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError, ModelError
from mamdr.models import PEPNet, PEPNetConfig, build
from mamdr.models.pepnet import GateNU
from mamdr.testing import ModelConformance

BY_GATES = SMALL["pepnet"] | {"domain_embedding": False}
BY_USER = SMALL["pepnet"] | {"prior": ["user_id"], "gamma": 3.0}


class TestPEPNetThatKnowsTheDomainByItsGates(ModelConformance):
    """From lively values: from where gates start, two rounds move too little to be seen in float32."""

    exact_gradients = False

    def module(self, schema: Schema) -> nn.Module:
        return lively(build("pepnet", schema, BY_GATES)).float()

    def learner(self, schema: Schema) -> nn.Module:
        return build("pepnet", schema, larger(BY_GATES))


def _pepnet(settings: dict[str, Any] = SMALL["pepnet"]) -> PEPNet:
    module = build("pepnet", SCHEMA, settings)
    assert isinstance(module, PEPNet)
    return module


def _gate(gate: Any) -> tuple[Any, Any]:
    return layer_of(gate.cross), layer_of(gate.score)


def _score(module: PEPNet, batch: Batch, row: int, prior: tuple[str, ...], gamma: float) -> float:
    columns = zip(SCHEMA.ids, module.inputs.tables, strict=True)
    found: dict[str, list[float]] = {
        name: listed(table.weight[int(batch[name][row])])  # type: ignore[index, operator]
        for name, table in columns
    }
    numbers = [batch[name][row].item() for name in SCHEMA.numeric]
    return oracle.pepnet(
        [*(value for name in SCHEMA.ids for value in found[name]), *numbers],
        listed(module.domains.weight[int(batch["domain"][row])]),
        [value for name in prior for value in found[name]],
        embedding_gate=_gate(module.embedding_gate),
        layers=[layer_of(layer) for layer in (module.first, *module.layers)],  # type: ignore[arg-type]
        gates=[_gate(gate) for gate in module.gates],
        out=layer_of(module.out),
        gamma=gamma,
        by_domain=module.by_domain,
    )


@pytest.mark.parametrize(
    ("settings", "prior", "gamma"),
    [
        (SMALL["pepnet"], tuple(SCHEMA.ids), 2.0),
        (BY_GATES, tuple(SCHEMA.ids), 2.0),
        (BY_USER, ("user_id",), 3.0),
    ],
)
def test_scores_are_the_oracles(settings: dict[str, Any], prior: tuple[str, ...], gamma: float) -> None:
    module, batch = _pepnet(settings), mixed_batch(8)
    lively(module)
    expected = [_score(module, batch, row, prior, gamma) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_a_gate_is_the_oracles_and_stays_below_gamma() -> None:
    gate = lively(GateNU(5, 4, 3, 2.0))
    rows, others = torch.randn(6, 3, dtype=torch.float64) * 9, torch.randn(6, 2, dtype=torch.float64)
    out = gate(rows, others)
    expected = [
        oracle.gate(*_gate(gate), [*row, *other], 2.0)
        for row, other in zip(rows.tolist(), others.tolist(), strict=True)
    ]
    torch.testing.assert_close(out, torch.tensor(expected, dtype=torch.float64))
    assert ((out > 0) & (out < 2)).all()


def test_a_gate_by_hand() -> None:
    """relu(1 · 2 + 1 · 3) = 5; sigmoid(5 · 0.2 − 1) = 1/2; γ / 2."""
    gate = GateNU(2, 1, 1, 3.0)
    with torch.no_grad():
        gate.cross.weight.fill_(1.0)
        gate.score.weight.fill_(0.2)
        gate.score.bias.fill_(-1.0)
    assert gate(torch.tensor([[2.0]]), torch.tensor([[3.0]])).item() == pytest.approx(1.5)


def test_gates_start_without_effect() -> None:
    """With γ = 2 it is a multi-layer perceptron over features and domain, bit for bit."""
    module = _pepnet().eval()
    batch = mixed_batch() | {"price": torch.randn(24)}
    out = torch.cat([module.inputs(batch), module.domains(batch["domain"])], dim=1)
    for layer in (module.first, *module.layers):
        out = torch.relu(layer(out))
    assert torch.equal(module(batch), module.out(out).squeeze(1))
    for gate in (module.embedding_gate, *module.gates):
        assert isinstance(gate, GateNU)
        assert gate.cross.weight.any()


def test_a_domain_reaches_the_logit_through_the_gates_alone_where_told_so() -> None:
    module, batch = _pepnet(BY_GATES), mixed_batch()
    lively(module)
    assert not torch.isclose(module(one_domain(batch, 0)), module(one_domain(batch, 1))).any()
    with torch.no_grad():
        module.embedding_gate.score.weight.zero_()
    assert torch.equal(module(one_domain(batch, 0)), module(one_domain(batch, 1)))


def test_equal_embeddings_make_equal_domains() -> None:
    module, batch = _pepnet(), mixed_batch()
    lively(module)
    with torch.no_grad():
        module.domains.weight[3] = module.domains.weight[1]
    assert torch.equal(module(one_domain(batch, 1)), module(one_domain(batch, 3)))


def test_the_domains_gate_teaches_embeddings_nothing() -> None:
    """What comes to the features through EPNet's gate is stopped: their gradient is the gate times what follows."""
    gate = lively(GateNU(5, 4, 3, 2.0))
    module, batch = _pepnet(BY_GATES | {"prior": ["hour"]}), mixed_batch()
    lively(module)
    assert isinstance(gate, GateNU)
    seen: dict[str, torch.Tensor] = {}
    module.inputs.register_forward_hook(lambda m, args, out: seen.update(features=out))
    module.embedding_gate.register_forward_hook(lambda m, args, out: seen.update(gate=out))
    module.first.register_forward_hook(lambda m, args, out: seen.update(gated=args[0]))
    scores = module(batch)
    by_features, by_gated = torch.autograd.grad(scores.sum(), [seen["features"], seen["gated"]])
    known = by_gated * seen["gate"]
    columns = list(SCHEMA.ids).index("hour") * 4
    others = torch.ones(known.shape[1], dtype=torch.bool)
    others[columns : columns + 4] = False
    torch.testing.assert_close(by_features[:, others], known[:, others])
    assert not torch.isclose(
        by_features[:, ~others], known[:, ~others]
    ).all()  # the prior does learn from gates


def test_hidden_gates_teach_the_domains_gate_nothing() -> None:
    """With hidden layers that are dead but for their gates, nothing comes to EPNet."""
    module, batch = _pepnet(BY_GATES), mixed_batch()
    lively(module)
    with torch.no_grad():
        module.first.weight.zero_()
    module(batch).sum().backward()
    assert module.gates[0].cross.weight.grad.abs().sum() > 0  # type: ignore[operator, union-attr]
    for parameter in (module.domains.weight, *module.embedding_gate.parameters()):
        assert parameter.grad is None or not parameter.grad.any()


def test_gradients_are_right_below_the_stops() -> None:
    module = _pepnet()
    lively(module)
    moved = {name: p for name, p in module.named_parameters() if name.startswith(("gates", "layers", "out"))}
    batch = {key: column[:5] for key, column in mixed_batch().items()}

    def scores(*values: torch.Tensor) -> torch.Tensor:
        held = dict(zip(moved, values, strict=True))
        out: torch.Tensor = torch.func.functional_call(module, held, (batch,))
        return out

    assert torch.autograd.gradcheck(scores, tuple(moved.values()), fast_mode=True)


def test_frozen_vectors_of_another_width_are_gated_and_make_a_prior() -> None:
    vectors = torch.randn(SCHEMA.ids["user_id"], 7)
    module = PEPNet(SCHEMA, PEPNetConfig(embedding=4, hidden=(6,), gate=3), {"user_id": vectors})
    assert module.prior == [(0, 7), (7, 11), (11, 15)]
    batch = mixed_batch() | {"price": torch.randn(24)}
    assert module(batch).shape == (24,)


def test_the_papers_gamma_and_the_sizes_of_the_others_are_the_default() -> None:
    config = PEPNetConfig()
    assert (config.gamma, config.embedding, config.hidden, config.dropout) == (2.0, 128, (256, 128, 64), 0.5)


def test_a_prior_that_the_data_lack() -> None:
    with pytest.raises(ModelError, match=r"model.prior names 'author'; expected one of the columns user_id"):
        build("pepnet", SCHEMA, {"prior": ["author"]})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden", [8, 0], "model.hidden.1 = 0; expected greater than or equal to 1"),
        ("hidden", [], "model.hidden = .*at least 1 item"),
        ("gate", 0, "model.gate = 0; expected greater than or equal to 1"),
        ("gamma", 0.0, "model.gamma = 0.0; expected greater than 0"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("pepnet", SCHEMA, {key: value})
