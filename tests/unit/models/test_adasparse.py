"""AdaSparse's pruners: equal to plain loops, without effect where they start; the penalty, which comes by gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.oracles import models_newer_a as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    input_of,
    layer_of,
    listed,
    lively,
    mixed_batch,
    one_domain,
    without_dropout,
)
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Batch
from mamdr.errors import ConfigError
from mamdr.models import AdaSparse, build
from mamdr.models.adasparse import Pruner
from mamdr.strategies import MAMDR, Alternate, Separate, Strategy
from mamdr.testing import tiny_market
from mamdr.testing.lab import train

STILL = without_dropout(SMALL["adasparse"])
CALM = STILL | {"alpha": [2.0, 2.0], "penalty": [0.0, 0.0]}


def _adasparse(settings: dict[str, Any] = STILL) -> AdaSparse:
    module = build("adasparse", SCHEMA, settings)
    assert isinstance(module, AdaSparse)
    return module


def _alive(settings: dict[str, Any] = STILL) -> AdaSparse:
    module = _adasparse(settings)
    lively(module)
    return module


def _score(module: Any, batch: Batch, row: int, alpha: float) -> float:
    return oracle.adasparse(
        input_of(module.inputs, batch, row),
        listed(module.domains.weight[int(batch["domain"][row])]),
        layers=[layer_of(layer) for layer in (module.first, *module.layers)],
        pruners=[layer_of(pruner.weigh) for pruner in module.pruners],
        out=layer_of(module.out),
        alpha=alpha,
        beta=2.0,
        threshold=0.25,
    )


@pytest.mark.parametrize(("batches", "alpha"), [(0, 1.0), (500, 2.0), (1000, 3.0), (9999, 3.0)])
def test_scores_are_the_oracles_with_a_slope_by_the_batches_so_far(batches: int, alpha: float) -> None:
    module, batch = _alive(), mixed_batch(8)
    module.batches.fill_(batches)
    expected = [_score(module, batch, row, alpha) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_a_pruner_by_hand() -> None:
    """Factors 2 sigmoid(±2), of which 0.238 is below the threshold; the domain tells the units apart."""
    pruner = Pruner(2, 1, 2.0, 0.25)
    with torch.no_grad():
        pruner.weigh.weight[:, 2] = torch.tensor([1.0, -1.0])
    rows = torch.tensor([[3.0, 5.0], [3.0, 5.0]])
    out, share = pruner(rows, torch.tensor([[1.0], [-1.0]]), torch.tensor(2.0))
    large = 2 / (1 + torch.tensor(-2.0).exp().item())
    torch.testing.assert_close(out, torch.tensor([[3 * large, 0.0], [0.0, 5 * large]]))
    assert share.item() == pytest.approx(0.5)


def test_a_pruner_is_the_oracles() -> None:
    pruner = lively(Pruner(5, 2, 1.5, 0.5))
    rows, domain = torch.randn(9, 5, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64)
    out, share = pruner(rows, domain, torch.tensor(3.0))
    expected = [
        oracle.pruner(layer_of(pruner.weigh), x, d, alpha=3.0, beta=1.5, threshold=0.5)  # type: ignore[arg-type]
        for x, d in zip(rows.tolist(), domain.tolist(), strict=True)
    ]
    torch.testing.assert_close(out, torch.tensor(expected, dtype=torch.float64))
    assert 0 < share.item() < 1
    assert share.item() == pytest.approx((out == 0).double().mean().item())


def test_pruners_start_without_effect() -> None:
    """With β = 2 it is a multi-layer perceptron over features and domain, bit for bit."""
    module, batch = _adasparse().eval(), mixed_batch() | {"price": torch.randn(24)}
    out = torch.cat([module.inputs(batch), module.domains(batch["domain"])], dim=1)
    for layer in (module.first, *module.layers):
        out = torch.relu(layer(out))
    assert torch.equal(module(batch), module.out(out).squeeze(1))


def test_without_a_threshold_nothing_is_pruned() -> None:
    module, shares = _alive(STILL | {"threshold": 0.0}), list[float]()
    for pruner in module.pruners:
        pruner.register_forward_hook(lambda m, args, out: shares.append(out[1].item()))
    module(mixed_batch())
    assert shares == [0.0, 0.0]


def test_equal_embeddings_make_equal_domains() -> None:
    module, batch = _alive(), mixed_batch()
    with torch.no_grad():
        module.domains.weight[3] = module.domains.weight[1]
    assert torch.equal(module(one_domain(batch, 1)), module(one_domain(batch, 3)))


@pytest.mark.parametrize("shares", [[0.0, 0.2, 0.5], [0.15, 0.25, 0.2], [1.0, 1.0, 1.0]])
@pytest.mark.parametrize(("batches", "weight"), [(0, 0.01), (250, 0.2575), (2000, 1.0)])
def test_the_penalty_is_the_oracles(shares: list[float], batches: int, weight: float) -> None:
    module = _adasparse()
    module.batches.fill_(batches)
    found = module.penalty(torch.tensor(shares, dtype=torch.float64))
    assert found.item() == pytest.approx(oracle.sparsity_penalty(shares, 0.15, 0.25, weight), abs=1e-12)


def test_the_penalty_pulls_shares_into_their_range() -> None:
    """Its gradient is λ̂ |r_l − r| / L towards r outside the range, with λ_l a number, and nothing inside."""
    module = _adasparse(STILL | {"penalty": [3.0, 3.0]})
    shares = torch.tensor([0.1, 0.22, 0.4], dtype=torch.float64, requires_grad=True)
    (pull,) = torch.autograd.grad(module.penalty(shares), shares)
    torch.testing.assert_close(pull, torch.tensor([-0.1, 0.0, 0.2], dtype=torch.float64))


def _gradients(module: AdaSparse, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(module.parameters()), allow_unused=False))


def test_training_has_the_penalty_in_its_gradient_and_not_in_its_loss() -> None:
    batch, labels = mixed_batch(), (torch.arange(24) % 2).double()
    settings = STILL | {"penalty": [50.0, 50.0]}
    module, free = _alive(settings).train(), _alive(settings | {"penalty": [0.0, 0.0]}).train()
    shares: list[Tensor] = []
    for pruner in module.pruners:
        pruner.register_forward_hook(lambda m, args, out: shares.append(out[1]))
    loss = binary_cross_entropy_with_logits(module(batch), labels)
    plain = binary_cross_entropy_with_logits(free(batch), labels)
    assert torch.equal(loss, plain)
    module.batches.zero_()
    penalty = module.penalty(torch.stack(shares))
    assert penalty.item() > 0.1
    alone = torch.autograd.grad(penalty, list(module.parameters()), retain_graph=True, allow_unused=True)
    both = _gradients(module, loss)
    for found, own, more in zip(both, _gradients(free, plain), alone, strict=True):
        torch.testing.assert_close(found, own if more is None else own + more)


def test_evaluation_counts_nothing_and_has_no_penalty() -> None:
    module = _alive()
    module(mixed_batch()).sum().backward()
    assert module.batches.item() == 0
    module.train()
    module(mixed_batch())
    assert module.batches.item() == 1


def test_without_penalty_a_mixed_batch_trains_as_batches_of_one_domain() -> None:
    batch, gradients = mixed_batch(40), []
    parts = [
        one_domain({key: column[batch["domain"] == domain] for key, column in batch.items()}, domain)
        for domain in range(4)
    ]
    for batches in ([batch], parts):
        module = _alive(CALM).train()
        for part in batches:
            module(part).square().sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_penalty_alone_prunes_as_many_units_as_it_wants() -> None:
    """From none, by steps down its gradient, to the least share that costs nothing."""
    module = _adasparse(STILL | {"alpha": [5.0, 5.0], "penalty": [1.0, 1.0], "sparsity": [0.4, 0.6]}).train()
    batch, shares = mixed_batch() | {"price": torch.randn(24)}, dict[nn.Module, float]()
    for pruner in module.pruners:
        pruner.register_forward_hook(lambda m, args, out: shares.update({m: out[1].item()}))
    moved = [parameter for pruner in module.pruners for parameter in pruner.parameters()]
    for parameter in moved:  # units that start alike would be pruned together
        nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    optimizer = torch.optim.Adam(moved, lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        (0 * module(batch)).sum().backward()
        optimizer.step()
    assert len(shares) == 2
    assert all(0.3 < share < 0.7 for share in shares.values())


@pytest.mark.parametrize(
    ("strategy", "walked"),
    [(Alternate(), 12), (MAMDR(num_helpers=1), 12), (Separate(), 5)],
)
def test_the_schedule_goes_with_the_batches_of_the_longest_walk(strategy: Strategy, walked: int) -> None:
    """Batches of 8 of 40, 26, 9 and 1 rows: 5, 4, 2 and 1."""
    data = tiny_market(numeric=True)
    state = train(build("adasparse", data.schema, SMALL["adasparse"]), data, strategy, rounds=1)
    assert int(state.buffers.get("batches", torch.tensor(0))) == walked


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": [8, 0]}, "model.hidden.1 = 0; expected greater than or equal to 1"),
        ({"beta": 0.5}, "model.beta = 0.5; expected greater than or equal to 1"),
        ({"alpha": [0.0, 5.0]}, "model.alpha.0 = 0.0; expected greater than 0"),
        ({"sparsity": [0.1, 1.5]}, "model.sparsity.1 = 1.5; expected less than or equal to 1"),
        (
            {"sparsity": [0.3, 0.1]},
            r"model.sparsity = \(0.3, 0.1\); expected the least share, then the largest",
        ),
        ({"threshold": 1.0}, "model.threshold = 1.0 with model.beta = 2.0; expected a threshold below β / 2"),
        ({"steps": 0}, "model.steps = 0; expected greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("adasparse", SCHEMA, settings)
