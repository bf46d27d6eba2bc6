"""MLoRA: adapters on any module, nothing added at the start, and adapters merged into plain weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from tests.oracles import models as plain
from tests.oracles import models_newer_b as oracle
from tests.unit.models.zoo import SCHEMA, SMALL, input_of, layer_of, listed, lively, mixed_batch, one_domain
from torch import Tensor, nn

import mamdr
from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError, ModelError
from mamdr.models import MODELS, MLoRA, MLoRAConfig, build, configure
from mamdr.models.mlora import Adapter
from mamdr.strategies import Alternate, Freeze
from mamdr.testing import ModelConformance, tiny_market
from mamdr.testing.lab import parameters_of, train
from mamdr.training import Recipe

BASES = ["mlp", "wdl", "neurfm", "autoint", "deepfm", "shared_bottom", "hinet", "ple"]


class TestMLoRAOnAutoInt(ModelConformance):
    """Its attention's layers are given [B, F, E]."""

    def module(self, schema: Schema) -> nn.Module:
        return build("mlora", schema, _on("autoint"))


class Towers(nn.Module):
    """A module of a user's: layers with and without bias, one called by keyword."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.user = nn.Sequential(nn.Embedding(schema.ids["user_id"], 4), nn.Linear(4, 3, bias=False))
        self.item = nn.Sequential(nn.Embedding(schema.ids["item_id"], 4), nn.Linear(4, 3), nn.Tanh())
        self.mixed = nn.Linear(3, 2)

    def forward(self, batch: Batch) -> Tensor:
        met: Tensor = self.mixed(input=self.user(batch["user_id"]) * self.item(batch["item_id"]))
        return met.sum(1)


class TestMLoRAOnAUsersModule(ModelConformance):
    def module(self, schema: Schema) -> nn.Module:
        torch.manual_seed(4)
        return MLoRA(Towers(schema), len(schema.domains), rank=1)


def _on(base: str) -> dict[str, Any]:
    return {"base": {"name": base, **SMALL[base]}, "reduction": 3}


def _mlora(settings: dict[str, Any]) -> MLoRA:
    module = build("mlora", SCHEMA, settings)
    assert isinstance(module, MLoRA)
    return module


def _kept(adapter: Any, domain: int) -> tuple[Any, Any, Any]:
    """A, B and b of a domain, read from its row number by number: A by rows, then B by rows, then b."""
    numbers = iter(listed(adapter.own.weight[domain]))
    down = [[next(numbers) for _ in range(adapter.width)] for _ in range(adapter.rank)]
    up = [[next(numbers) for _ in range(adapter.rank)] for _ in range(adapter.size)]
    return down, up, list(numbers)


def test_scores_are_the_oracles() -> None:
    module: Any = lively(build("mlora", SCHEMA, SMALL["mlora"]))
    batch, expected = mixed_batch(8), []
    layers = [module.base.first, *(part for part in module.base.layers if isinstance(part, nn.Linear))]
    assert [adapter.name for adapter in module.adapters] == ["first", "layers.1"]
    for row in range(8):
        x, domain = input_of(module.base.inputs, batch, row), int(batch["domain"][row])
        for layer, adapter in zip(layers, module.adapters, strict=False):
            x = plain.relu(oracle.adapted(layer_of(layer), *_kept(adapter, domain), x))
        expected.append(plain.linear(layer_of(layers[-1]), x)[0])
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("base", BASES)
def test_at_the_start_it_is_its_base_bit_for_bit(base: str) -> None:
    module, alone = build("mlora", SCHEMA, _on(base), seed=7), build(base, SCHEMA, SMALL[base], seed=7)
    batch = mixed_batch() | {"price": torch.randn(24)}
    for given in (batch, one_domain(batch, 2)):
        assert torch.equal(module.eval()(given), alone.eval()(given))


@pytest.mark.parametrize("base", BASES)
def test_merged_adapters_score_the_same(base: str) -> None:
    module = lively(_mlora(_on(base)))
    assert isinstance(module, MLoRA)
    for domain in (0, 3):
        batch = one_domain(mixed_batch(), domain)
        merged = module.merged(domain)
        assert type(merged) is type(module.base)
        torch.testing.assert_close(merged(batch), module(batch))
        assert not torch.allclose(module.base(batch), module(batch))


@pytest.mark.parametrize("base", BASES)
def test_a_mixed_batch_scores_as_batches_of_one_domain(base: str) -> None:
    module, batch = lively(build("mlora", SCHEMA, _on(base))), mixed_batch()
    scores = module(batch)
    for domain in range(4):
        mine = batch["domain"] == domain
        alone = module(one_domain({key: column[mine] for key, column in batch.items()}, domain))
        torch.testing.assert_close(scores[mine], alone)


def test_a_share_of_each_layers_outputs_is_the_rank() -> None:
    """The paper's α of 16 on layers of 256, 128 and 64; the layer of one output is left alone."""
    module = _mlora({})
    assert [adapter.rank for adapter in module.adapters] == [16, 8, 4]
    assert configure("mlora", {}) == MLoRAConfig()


def test_domains_start_from_different_draws_and_add_nothing() -> None:
    adapter: Any = _mlora({"base": {"name": "mlp", "embedding": 16}}).adapters[0]
    down = adapter.own.weight.detach()[:, : adapter.parts[0]]
    assert not torch.equal(down[0], down[1])
    assert down.std().item() == pytest.approx((2 / (adapter.width + adapter.rank)) ** 0.5, rel=0.05)
    assert not adapter.own.weight[:, adapter.parts[0] :].any()


def test_a_copy_has_adapters_of_its_own() -> None:
    """Copied or pickled, hooks lead to the copy's adapters and batches."""
    module, batch = lively(build("mlora", SCHEMA, SMALL["mlora"])), mixed_batch()
    before = module(batch)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(batch), before)
        with torch.no_grad():
            for adapter in other.adapters:
                adapter.own.weight.zero_()
        torch.testing.assert_close(other(batch), module.base(batch))  # type: ignore[operator]
        assert torch.equal(module(batch), before)


def test_a_frozen_base_is_the_papers_second_stage() -> None:
    """Only adapters move, each by its own domain's batches."""
    data = tiny_market((20, 0, 30, 0), numeric=True)
    module = build("mlora", data.schema, SMALL["mlora"])
    assert isinstance(module, MLoRA)
    module.base.requires_grad_(False)
    before = parameters_of(train(module, data, Alternate(), rounds=0).shared)
    after = parameters_of(train(module, data, Alternate(), rounds=2).shared)
    assert sorted(after) == ["adapters.0.own.weight", "adapters.1.own.weight"]
    for name, rows in after.items():
        assert (rows == before[name]).all(1).tolist() == [False, True, False, True]


def test_freezing_by_strategy_trains_the_adapters_alone_too() -> None:
    data = tiny_market(numeric=True)
    module = build("mlora", data.schema, SMALL["mlora"])
    before = parameters_of(train(module, data, Alternate(), rounds=0).shared)
    after = parameters_of(train(module, data, Freeze(Alternate(), frozen="base.*"), rounds=1).shared)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"adapters.0.own.weight", "adapters.1.own.weight"}


def test_layers_are_chosen_by_name() -> None:
    module = _mlora(_on("star") | {"layers": ["auxiliary.*"]})
    assert [adapter.name for adapter in module._each()] == ["auxiliary.first"]
    assert isinstance(module.adapters[0], Adapter)


def test_a_layer_that_the_base_only_reads_is_told_before_training() -> None:
    data = tiny_market(numeric=True)
    module = build("mlora", data.schema, _on("star"))
    with pytest.raises(
        ModelError, match=r"the base never calls the adapted layers star\.shared\.0, .*Name the"
    ):
        mamdr.fit(module, data, Alternate(), rounds=1)


def test_a_layer_with_rows_of_another_number_is_told() -> None:
    class Distinct(Towers):
        def forward(self, batch: Batch) -> Tensor:
            users, which = torch.unique(batch["user_id"], return_inverse=True)
            return (self.user(users)[which] * self.item(batch["item_id"])).sum(1)

    module = MLoRA(Distinct(SCHEMA), 4, layers=("user.*", "item.*"))
    with pytest.raises(
        ModelError, match=r"layer 'user.1' is given \d+ rows in a batch of 24; .*Leave the layer out"
    ):
        module(mixed_batch())


def test_nothing_to_adapt() -> None:
    with pytest.raises(ModelError, match=r"no layer to adapt in Towers among up\.\*; expected an nn\.Linear"):
        MLoRA(Towers(SCHEMA), 4, layers=("up.*",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": -1}, "model.rank = -1; expected greater than or equal to 0"),
        ({"reduction": 0}, "model.reduction = 0; expected greater than or equal to 1"),
        ({"layers": []}, "model.layers = .*at least 1 item"),
        ({"base": "mlp"}, r"model.base = 'mlp'; expected a table with a name. Add name = "),
        ({"base": {"name": "starr"}}, "unknown model 'starr'; .*Did you mean 'star'"),
        ({"base": {"name": "mlora"}}, "model.base.name = 'mlora'; expected a model that has no adapters"),
        ({"base": {"name": "mlp", "hiden": [3]}}, "unknown key model.base.hiden; .*Did you mean 'hidden'"),
        ({"base": {"name": "mlp", "hidden": [0]}}, "model.base.hidden.0 = 0; expected greater than or equal"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("mlora", SCHEMA, settings)


def test_a_rank_above_a_layers_width() -> None:
    with pytest.raises(
        ModelError, match=r"rank 5 for the layer 'layers.1' of 6 to 4 values; expected at most 4"
    ):
        build("mlora", SCHEMA, SMALL["mlora"] | {"rank": 5})


def test_a_recipe_spells_the_base_out() -> None:
    recipe = Recipe.parse(
        {"model": {"name": "mlora", "base": {"name": "wdl", "embedding": 8}}, "strategy": {"name": "dn"}}
    )
    assert recipe.model["base"].keys() == {"name", *MODELS["wdl"][0].__dataclass_fields__}  # type: ignore[attr-defined]
    again = Recipe.parse(recipe.tables())
    assert again.model == recipe.model
