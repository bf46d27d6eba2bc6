"""TorchJD's aggregators by name."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from tests.unit.combiners.grams import gradients, seen, step

from mamdr.combiners import IMTLG, TorchJD
from mamdr.errors import ConfigError
from mamdr.strategies import build, describe


def test_an_aggregator_of_the_same_method_gives_the_same() -> None:
    pytest.importorskip("torchjd")
    each = gradients(3, seed=1, pull=0.5)
    torch.testing.assert_close(
        step(TorchJD(aggregator="IMTLG"), each), step(IMTLG(), each), rtol=1e-6, atol=1e-8
    )


def test_options_reach_it() -> None:
    pytest.importorskip("torchjd")
    each = gradients(3)
    smallest, mean = (
        TorchJD(aggregator="AlignedMTL", options={"scale_mode": mode}).weights(seen(each))
        for mode in ("min", "rmse")
    )
    assert float((mean / smallest).min()) > 1.01


def test_what_it_draws_comes_from_our_seeds() -> None:
    pytest.importorskip("torchjd")
    each, found = gradients(8), []
    state = torch.random.get_rng_state()
    for seed in (1, 1, 2):
        found.append(TorchJD(aggregator="PCGrad").weights(seen(each, seed)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_an_unknown_aggregator_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"strategy.aggregator = 'UpGrad'; expected 'AlignedMTL'"):
        build("torchjd", {"aggregator": "UpGrad"})


def test_options_that_do_not_fit_are_an_error() -> None:
    pytest.importorskip("torchjd")
    with pytest.raises(ConfigError, match=r"options .* of TorchJD's MGDA do not fit"):
        TorchJD(aggregator="MGDA", options={"c": 0.5}).weights(seen(gradients(2)))


def test_where_it_is_not_installed_the_error_says_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'mamdr\[torchjd\]'"):
        TorchJD().weights(seen(gradients(2)))


def test_a_recipe_describes_it() -> None:
    table = {"name": "torchjd", "aggregator": "CAGrad", "options": {"c": 0.4}}
    settings = {key: value for key, value in table.items() if key != "name"}
    assert table.items() <= describe(build("torchjd", settings)).items()
