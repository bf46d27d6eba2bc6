"""The oracles themselves, against values worked out by hand and against torch."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt

import pytest
import torch
from tests.oracles import learning, optimizers
from tests.oracles.learning import Pass, Walker
from torch import Tensor, nn


def _sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


class Line(nn.Module):
    """logit = w · x, so the gradient of one row is (σ(w x) − y) x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.w * batch["x"]


def _row(x: float, y: float) -> tuple[dict[str, Tensor], Tensor]:
    return {"x": torch.tensor([x], dtype=torch.float64)}, torch.tensor([y], dtype=torch.float64)


# Domain 0 pulls w up, domain 1 pulls it down and weighs more, domain 2 has two batches.
ROWS = {0: [_row(1.0, 1.0)], 1: [_row(2.0, 0.0)], 2: [_row(1.0, 1.0), _row(1.0, 1.0)]}


def _batches(domain: int, _: Pass) -> list[tuple[dict[str, Tensor], Tensor]]:
    return ROWS[domain]


def _sgd(lr: float) -> Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def _start() -> dict[str, Tensor]:
    return learning.parameters_of(Line())


def _step(w: float, x: float, y: float, lr: float = 1.0) -> float:
    return w - lr * (_sigmoid(w * x) - y) * x


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (lambda: optimizers.Sgd(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
        (lambda: optimizers.Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
        (lambda: optimizers.Adagrad(0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
        (
            lambda: optimizers.Nesterov(0.1, 0.8),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
        ),
    ],
)
def test_rules_agree_with_torch(
    rule: Callable[[], optimizers.Rule], make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
) -> None:
    draw = torch.Generator().manual_seed(1)
    parameter = nn.Parameter(torch.randn(5, 3, dtype=torch.float64, generator=draw))
    ours, params = rule(), {"p": parameter.detach().clone()}
    theirs = make([parameter])
    for step in range(6):
        gradient = torch.randn(5, 3, dtype=torch.float64, generator=draw) * 10.0 ** (step - 3)
        gradient[step % 5] = 0
        parameter.grad = gradient.clone()
        theirs.step()
        params = ours.step(params, {"p": gradient})
        torch.testing.assert_close(params["p"], parameter.detach(), rtol=1e-12, atol=1e-14)


def test_adam_by_hand() -> None:
    rule = optimizers.Adam(lr=0.1, beta1=0.5, beta2=0.75, eps=0.0)
    params = rule.step({"p": torch.tensor([1.0])}, {"p": torch.tensor([2.0])})
    # m̂ = 2, v̂ = 4: the first step has the length of the rate
    assert params["p"].item() == pytest.approx(0.9)
    params = rule.step(params, {"p": torch.tensor([0.0])})
    # m = 0.5 · 1 = 0.5, / 0.75; v = 0.75 · 1 = 0.75, / 0.4375: it moves with gradient zero
    assert params["p"].item() == pytest.approx(0.9 - 0.1 * (0.5 / 0.75) / sqrt(0.75 / 0.4375))


def test_adagrad_and_nesterov_by_hand() -> None:
    adagrad = optimizers.Adagrad(lr=1.0, eps=0.0)
    params = adagrad.step({"p": torch.tensor([0.0])}, {"p": torch.tensor([3.0])})
    assert params["p"].item() == pytest.approx(-1.0)
    params = adagrad.step(params, {"p": torch.tensor([4.0])})
    assert params["p"].item() == pytest.approx(-1.8)
    nesterov = optimizers.Nesterov(lr=1.0, momentum=0.5)
    params = nesterov.step({"p": torch.tensor([0.0])}, {"p": torch.tensor([2.0])})
    assert params["p"].item() == pytest.approx(-3.0)  # m = 2, step 0.5·2 + 2
    params = nesterov.step(params, {"p": torch.tensor([0.0])})
    assert params["p"].item() == pytest.approx(-3.5)  # m = 1, step 0.5·1


def test_push_with_sgd_is_equation_3() -> None:
    moved = optimizers.push({"p": torch.tensor([1.0])}, {"p": torch.tensor([4.0])}, optimizers.Sgd(0.25))
    assert moved["p"].item() == 2.0


def test_alternate_by_hand() -> None:
    history = learning.alternate(Walker(Line(), _sgd(1.0)), _start(), [[0, 1], [1]], _batches)
    w = _step(_step(0.0, 1, 1), 2, 0)
    assert _step(0.0, 1, 1) == 0.5  # σ(0) = 0.5
    assert history[0]["w"].item() == pytest.approx(w)
    assert history[1]["w"].item() == pytest.approx(_step(w, 2, 0))


def test_negotiation_by_hand() -> None:
    walker = Walker(Line(), _sgd(1.0))
    history = learning.domain_negotiation(walker, _start(), [[0, 2], [1, 0]], _batches, 0.1)
    end = _step(_step(_step(0.0, 1, 1), 1, 1), 1, 1)  # a pass over domain 2 is two steps
    first = 0.1 * end
    assert history[0]["w"].item() == pytest.approx(first)
    end = _step(_step(first, 2, 0), 1, 1)
    assert history[1]["w"].item() == pytest.approx(first + 0.1 * (end - first))


def test_negotiation_with_outer_rate_one_is_alternate_and_zero_changes_nothing() -> None:
    orders = [[0, 1, 2], [2, 0, 1], [1, 2, 0]]
    one = learning.domain_negotiation(Walker(Line(), _sgd(0.3)), _start(), orders, _batches, 1.0)
    plain = learning.alternate(Walker(Line(), _sgd(0.3)), _start(), orders, _batches)
    for left, right in zip(one, plain, strict=True):
        torch.testing.assert_close(left["w"], right["w"], rtol=0, atol=1e-15)
    none = learning.domain_negotiation(Walker(Line(), _sgd(0.3)), _start(), orders, _batches, 0.0)
    assert all(state["w"].item() == 0.0 for state in none)


def test_regularization_by_hand() -> None:
    shared = {"w": torch.tensor(0.25, dtype=torch.float64)}
    history = learning.domain_regularization(
        Walker(Line(), _sgd(1.0)), shared, [{1: [0, 2], 0: []}], _batches, specific_lr=0.5
    )
    specific = 0.0
    end = _step(_step(0.25, 1, 1), 2, 0)  # helper 0, then the target 1
    specific += 0.5 * (end - 0.25)
    end = _step(_step(_step(0.25 + specific, 1, 1), 1, 1), 2, 0)  # helper 2 from the new θ_i
    specific += 0.5 * (end - (0.25 + specific))
    assert history[0][1]["w"].item() == pytest.approx(specific)
    assert history[0][0]["w"].item() == 0.0
    assert shared["w"].item() == 0.25


def test_mamdr_by_hand_and_without_helpers_it_is_negotiation() -> None:
    orders, walker = [[0, 1], [1, 0]], Walker(Line(), _sgd(1.0))
    helpers = [{0: [1], 1: []}, {0: [1], 1: [0]}]
    history = learning.mamdr(walker, _start(), orders, helpers, _batches, 0.1, 0.2)
    shared = 0.1 * _step(_step(0.0, 1, 1), 2, 0)
    specific = 0.2 * (_step(_step(shared, 2, 0), 1, 1) - shared)
    assert history[0][0]["w"].item() == pytest.approx(shared)
    assert history[0][1][0]["w"].item() == pytest.approx(specific)
    assert history[0][1][1]["w"].item() == 0.0
    shared += 0.1 * (_step(_step(shared, 2, 0), 1, 1) - shared)
    merged = shared + specific  # the second round starts at the new shared part
    specific += 0.2 * (_step(_step(merged, 2, 0), 1, 1) - merged)
    assert history[1][0]["w"].item() == pytest.approx(shared)
    assert history[1][1][0]["w"].item() == pytest.approx(specific)
    without = learning.mamdr(walker, _start(), orders, [{0: [], 1: []}] * 2, _batches, 0.1, 0.2)
    negotiated = learning.domain_negotiation(walker, _start(), orders, _batches, 0.1)
    assert [s["w"].item() for s, _ in without] == [s["w"].item() for s in negotiated]


def test_passes_are_named() -> None:
    seen: list[tuple[int, Pass]] = []

    def batches(domain: int, which: Pass) -> list[tuple[dict[str, Tensor], Tensor]]:
        seen.append((domain, which))
        return ROWS[domain]

    learning.mamdr(Walker(Line(), _sgd(1.0)), _start(), [[1, 0]], [{0: [2]}], batches, 0.1, 0.2)
    assert seen == [
        (1, Pass(0, "dn", 0)),
        (0, Pass(0, "dn", 1)),
        (2, Pass(0, "dr", 0, target=0, helper=0)),
        (0, Pass(0, "dr", 1, target=0, helper=0)),
    ]


def test_kept_and_fresh_optimizers_differ_as_they_should() -> None:
    def adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=0.1)

    orders = [[0], [0]]
    fresh = learning.alternate(Walker(Line(), adam), _start(), orders, _batches)
    kept = learning.alternate(Walker(Line(), adam, keep=True), _start(), orders, _batches)
    straight = learning.alternate(Walker(Line(), adam), _start(), [[0, 0]], _batches)
    assert fresh[0]["w"].item() == pytest.approx(0.1, rel=1e-6)  # the first step is as long as the rate
    assert fresh[1]["w"].item() == pytest.approx(0.2, rel=1e-6)
    assert kept[1]["w"].item() == straight[0]["w"].item()
    assert abs(kept[1]["w"].item() - 0.2) > 1e-4


def test_walks_leave_the_module_and_the_start_alone() -> None:
    module, start = Line(), _start()
    Walker(module, _sgd(1.0)).walk(start, [ROWS[0]])
    assert module.w.item() == 0.0
    assert start["w"].item() == 0.0
    moved = learning.predict(module, {"w": torch.tensor(3.0, dtype=torch.float64)}, ROWS[1][0][0])
    assert moved.item() == 6.0


def test_frozen_parameters_are_no_part_of_a_point() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    module[0].requires_grad_(False)
    assert set(learning.parameters_of(module)) == {"1.weight", "1.bias"}


def test_equation_18_on_quadratics_is_exact() -> None:
    """With L_i = ½ a_i (w − c_i)², g_i = a_i (w − c_i) and H_i = a_i, two domains have no higher terms."""
    curvature, centre = [2.0, 3.0], [1.0, -1.0]
    losses = [lambda m, a=a, c=c: 0.5 * a * (m.w - c) ** 2 for a, c in zip(curvature, centre, strict=True)]
    first, second = learning.equation_18(Line(), losses, [0, 1], alpha=0.1)
    assert first["w"].item() == pytest.approx(-2.0 + 3.0)
    assert second["w"].item() == pytest.approx(0.1 * 3.0 * -2.0)  # α H_1 g_0
    _, other = learning.equation_18(Line(), losses, [1, 0], alpha=0.1)
    assert other["w"].item() == pytest.approx(0.1 * 2.0 * 3.0)  # α H_0 g_1
    w = 0.0 - 0.1 * -2.0
    w -= 0.1 * 3.0 * (w + 1.0)
    assert w == pytest.approx(-0.1 * (first["w"].item() - second["w"].item()))


def test_equation_18_error_is_of_third_order() -> None:
    losses = [lambda m, d=d: learning.loss_of(m, *ROWS[d][0]) for d in (0, 1, 2)]
    order, errors = [1, 0, 2], []
    single = {d: rows[:1] for d, rows in ROWS.items()}
    for alpha in (0.02, 0.01):
        first, second = learning.equation_18(Line(), losses, order, alpha)
        end = Walker(Line(), _sgd(alpha)).walk(_start(), [single[d] for d in order])
        errors.append(abs(end["w"].item() + alpha * (first["w"] - second["w"]).item()))
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.1)
