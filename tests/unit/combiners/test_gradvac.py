"""GradVac: similarities are brought up to what they usually are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles import combiners as oracle
from tests.oracles import combiners_core
from tests.unit.combiners.grams import gradients, seen, step
from torch import Tensor

from mamdr.combiners import GradVac, Seen
from mamdr.combiners.pcgrad import orders


def of(domains: list[int], each: Tensor, memory: dict[str, Tensor], seed: int) -> Seen:
    who = torch.tensor(domains)
    draw = np.random.default_rng(seed)
    return Seen(who, torch.ones_like(who), torch.ones(len(who)).double(), each @ each.T, 6, draw, memory)


@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_it_equals_the_papers_loop_with_domains_coming_and_going(beta: float) -> None:
    memory: dict[str, Tensor] = {}
    combiner, vaccine = GradVac(beta=beta), oracle.GradVac(beta)
    batches = [[0, 1, 2, 3, 4, 5], [0, 2, 5], [4], [1, 2, 3, 4], [0, 1, 2, 3, 4, 5], [0, 5]] * 2
    for number, domains in enumerate(batches):
        each = gradients(len(domains), seed=number, pull=0.4)
        found = combiner.weights(of(domains, each, memory, number)) @ each
        drawn = orders(len(domains), np.random.default_rng(number)).tolist()
        want = torch.from_numpy(vaccine(domains, each.numpy(), drawn))
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-9)
    targets = memory["targets"]
    for (i, j), target in vaccine.targets.items():
        assert float(targets[i, j]) == pytest.approx(target, abs=1e-12)
    assert float(targets.abs().max()) > 0.01


def test_with_targets_at_zero_it_is_pcgrad() -> None:
    for seed in range(5):
        each = gradients(6, seed=seed)
        drawn = orders(6, np.random.default_rng(seed)).tolist()
        want = torch.stack(combiners_core.pcgrad(list(each), drawn)).sum(0)
        torch.testing.assert_close(step(GradVac(beta=0), each, seed), want, rtol=1e-9, atol=1e-9)


def test_two_domains_by_hand() -> None:
    """(1, 0) and (0, 1) with targets of ½: (1, 0) + tan 30° (0, 1) has that cosine with (0, 1)."""
    memory = {"targets": torch.full((6, 6), 0.5, dtype=torch.float64)}
    found = GradVac(beta=0.2).weights(of([0, 1], torch.eye(2).double(), memory, 0))
    torch.testing.assert_close(found, torch.full((2,), 1 + 3**-0.5, dtype=torch.float64))
    assert memory["targets"][0, :3].tolist() == pytest.approx([0.5, 0.4, 0.5])


def test_two_domains_are_as_similar_as_the_target_afterwards() -> None:
    memory = {"targets": torch.full((6, 6), 0.3, dtype=torch.float64)}
    each = gradients(2, seed=3)
    each[1] = each[1] - each[0] * 5
    turned = GradVac()._turn(
        torch.nn.functional.cosine_similarity(each[:, None], each[None], dim=2),
        memory["targets"][:2, :2].clone(),
        torch.tensor([[1], [0]]),
    )
    units = torch.nn.functional.normalize(each)
    for i, j in ((0, 1), (1, 0)):
        assert float(torch.cosine_similarity(turned[i] @ units, units[j], dim=0)) == pytest.approx(0.3)


def test_gradients_without_conflict_pass_at_first() -> None:
    assert GradVac().weights(seen(gradients(5, pull=5.0))).tolist() == [1.0] * 5


def test_it_equals_torchjds_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torchjd = pytest.importorskip("torchjd.aggregation")
    theirs, ours, memory = torchjd.GradVacWeighting(beta=0.3, eps=0.0), GradVac(beta=0.3), {}
    for seed in range(8):
        each = gradients(6, seed=seed)
        drawn = orders(6, np.random.default_rng(seed)).tolist()
        # TorchJD draws places in the list of the others, for each task in turn.
        places = [[[k for k in range(6) if k != i].index(j) for j in row] for i, row in enumerate(drawn)]
        permutations = iter([torch.tensor(row) for row in places])
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randperm", lambda count, these=permutations: next(these))
            want = theirs(each @ each.T)
        found = ours.weights(of(list(range(6)), each, memory, seed))
        torch.testing.assert_close(found, want, rtol=1e-8, atol=1e-8)
