"""The examples run."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest
import torch

import mamdr


def _example(name: str, needs: str = "mamdr") -> Any:
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed: pip install 'mamdr[peers]'")
    return importlib.import_module(f"examples.{name}")


@pytest.mark.parametrize(
    ("name", "needs", "size"),
    [
        ("own_module", "mamdr", {"samples_per_domain": 300}),
        ("rechub_model", "torch_rechub", {"samples_per_domain": 300}),
        ("deepctr_model", "deepctr_torch", {"samples_per_domain": 300}),
        ("turned_digits", "mamdr", {"rows_per_domain": 100}),
    ],
)
def test_an_example_compares_two_strategies(name: str, needs: str, size: dict[str, int]) -> None:
    results = _example(name, needs).main(rounds=1, **size)
    assert sorted(results) == ["alternate", "mamdr"]
    assert all(auc is not None and 0.3 < auc < 1 for auc in results.values())


@pytest.mark.parametrize(
    ("name", "needs"), [("rechub_model", "torch_rechub"), ("deepctr_model", "deepctr_torch")]
)
def test_a_peers_model_gives_logits(name: str, needs: str) -> None:
    """Its last bias moves every score as far as it is moved, where a sigmoid would hold it between 0 and 1."""
    data = mamdr.synthetic_market(domains=3, users=20, items=20, samples_per_domain=50)
    module = _example(name, needs).Adapter(data.schema).eval()
    [(batch, _)] = data.test.batches([1], 1000, None)
    before = module(batch)
    with torch.no_grad():
        [bias] = [
            p for key, p in module.named_parameters() if key.endswith(("out.bias", "towers.1.mlp.4.bias"))
        ]
        bias += 7
    torch.testing.assert_close(module(batch), before + 7)
