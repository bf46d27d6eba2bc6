"""Every model by name, under every strategy, through the same call; and its settings in every recipe."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.unit.models.zoo import SMALL

import mamdr
from mamdr.models import MODELS
from mamdr.training import Recipe

MARKET = mamdr.synthetic_market(domains=3, users=40, items=20, samples_per_domain=120, seed=1)
STRATEGIES = {
    "alternate": mamdr.strategies.Alternate(),
    "dn": mamdr.strategies.DomainNegotiation(outer_lr=0.5),
    "dr": mamdr.strategies.DomainRegularization(num_helpers=1),
    "mamdr": mamdr.strategies.MAMDR(num_helpers=1),
    "pcgrad": mamdr.strategies.Combined(mamdr.combiners.PCGrad()),
}
RECIPES = Path(__file__).resolve().parents[3] / "recipes"


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_one_round(name: str, strategy: str) -> None:
    module = mamdr.models.build(name, MARKET.schema, SMALL[name])
    before = {key: value.clone() for key, value in module.state_dict().items()}
    run = mamdr.fit(module, MARKET, STRATEGIES[strategy], rounds=1, batch_size=32, lr=0.01, seed=2)
    losses = [domain.log_loss for domain in run.evaluate("test").domains]
    assert losses
    assert all(loss is not None and math.isfinite(loss) for loss in losses)
    trained = run.module_for(MARKET.schema.domains[0]).state_dict()
    assert any(not torch.equal(before[key], trained[key]) for key in before)


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("strategy", ["alternate", "mamdr"])
def test_a_recipe_holds_the_defaults(name: str, strategy: str) -> None:
    """Recipes are at the paper's sizes, which are the models' defaults."""
    file = "mamdr-paper" if (name, strategy) == ("mlp", "mamdr") else f"{name}-{strategy}"
    recipe = Recipe.load(RECIPES / f"{file}.toml", [])
    settings = dict(recipe.model)
    assert settings.pop("name") == name
    config = MODELS[name][0]
    assert config(**settings) == config()
