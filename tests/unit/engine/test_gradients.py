"""Domains' gradients equal those of the plain module, and taking them changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.unit.engine.zoo import make
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mamdr.data.domains import Dataset
from mamdr.engine.gradients import Gradients
from mamdr.parameters import LocalStore
from mamdr.strategies import Alternate, State
from mamdr.testing import TwoTables, parameters_of, same_bits, tiny_market, train
from mamdr.testing.lab import at_work, problem_of

DATA = tiny_market((40, 26, 0, 1))


def _plain(module: nn.Module, data: Dataset, domain: int) -> dict[str, Tensor]:
    """Autograd on a copy in evaluation mode, over all rows at once."""
    model = copy.deepcopy(module).eval()
    for batch, labels in data.train.batches([domain], 1000, None):
        logits = model(batch)
        binary_cross_entropy_with_logits(logits, labels.to(logits.dtype)).backward()  # type: ignore[no-untyped-call]
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["dropout", "batch norm", "padding, tied", "hashed", "unused table"])
def test_equal_autograd_of_the_plain_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mamdr.engine.gradients._BATCH", 16)  # sums over batches too
    module = (TwoTables(dropout=0.5) if name == "dropout" else make(name)).double()
    expected = [_plain(module, DATA, domain) for domain in range(4)]
    with at_work(module, DATA) as (session, _):
        gradients = Gradients(session, {})
        store = LocalStore.of(module, session.space)
        found = [parameters_of(gradients(store, domain)) for domain in range(4)]
    for one, other in zip(found, expected, strict=True):
        for parameter, value in one.items():
            torch.testing.assert_close(value, other[parameter], rtol=0, atol=1e-12)
    assert not any(value.any() for value in found[2].values())  # no training rows


def test_a_point_holds_the_domains_own_rows_alone() -> None:
    module = TwoTables()
    with at_work(module, DATA) as (session, _):
        point = Gradients(session, {})(LocalStore.of(module, session.space), 1)
    assert [ids.tolist() for ids in point.ids] == [
        DATA.train.unique_ids(1, column).tolist() for column in ("user_id", "item_id")
    ]


def test_a_cap_on_rows_draws_them_without_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but one row of 40: the whole gradient and the sample's differ by that row's share, whichever it is."""
    monkeypatch.setattr("mamdr.engine.gradients._BATCH", 16)
    module = TwoTables().double()
    with at_work(module, DATA) as (session, _):
        store = LocalStore.of(module, session.space)
        whole = Gradients(session, {})(store, 0).flat
        capped = [Gradients(session, {}, rows=39, seed=seed)(store, 0).flat for seed in (1, 1, 2)]
        assert torch.equal(capped[0], capped[1])
        assert not torch.equal(capped[0], capped[2])
        assert torch.equal(Gradients(session, {}, rows=40)(store, 0).flat, whole)
        rows = [40 * whole - 39 * sample for sample in capped]
        single = []
        for batch, labels in DATA.train.batches([0], 1, None):
            model = copy.deepcopy(TwoTables().double()).eval()
            binary_cross_entropy_with_logits(model(batch), labels.double()).backward()  # type: ignore[no-untyped-call]
            single.append(torch.cat([model.hidden.weight.grad.flatten(), model.hidden.bias.grad]))  # type: ignore[union-attr, operator]
    for row in rows:
        assert min(float((row[: 48 + 6] - one).abs().max()) for one in single) < 1e-12


def test_training_goes_on_as_if_nobody_had_looked() -> None:
    module = TwoTables(dropout=0.3)
    straight = train(module, DATA, Alternate(), 2)
    with at_work(copy.deepcopy(module), DATA) as (session, run):
        state = State(LocalStore.of(session.module, session.space), seed=1)
        for _ in range(2):
            Gradients(session, state.buffers)(state.shared, 0)
            state = Alternate().round(state, problem_of(session), run)
            state.round += 1
    assert same_bits(straight, state)
