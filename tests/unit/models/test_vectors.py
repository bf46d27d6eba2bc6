"""Vectors that came with the data reach every model by name: frozen, trained, or left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tests.unit.models.zoo import SMALL

import mamdr
from mamdr.data.domains import Dataset
from mamdr.engine import trace
from mamdr.errors import ModelError
from mamdr.models import MODELS, build
from mamdr.models.inputs import Inputs
from mamdr.models.sizes import size
from mamdr.strategies import MAMDR, Alternate
from mamdr.testing import parameters_of, tiny_market, train
from mamdr.testing.market import ITEMS

PLAIN = tiny_market(numeric=True, lists=True)
ROWS = torch.randn(ITEMS, 3, generator=torch.Generator().manual_seed(1))
DATA = dataclasses.replace(PLAIN, schema=dataclasses.replace(PLAIN.schema, vectors={"item_id": ROWS}))
SCHEMA = DATA.schema


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_takes_them_and_leaves_them(name: str) -> None:
    """Of another width than the embeddings; read where they are, not trained, and not in a checkpoint."""
    module = build(name, SCHEMA, SMALL[name])
    held = {id(p) for p in module.parameters() if p.data_ptr() == ROWS.data_ptr()}
    assert len(held) == 1
    assert not any(p.requires_grad for p in module.parameters() if id(p) in held)
    before = ROWS.clone()
    state = train(module, DATA, MAMDR(num_helpers=1), 1)
    assert torch.equal(ROWS, before)
    assert all(values.shape != ROWS.shape for values in parameters_of(state.shared).values())


def test_what_becomes_of_them_is_a_setting() -> None:
    small = {"embedding": 4, "hidden": [4]}
    place = list(SCHEMA.ids).index("item_id")
    for use, width, columns in (("frozen", 3, None), ("trained", 3, 1), ("off", 4, 1)):
        module = build("mlp", SCHEMA, small | {"features": {"vectors": {"item_id": use}}})
        assert isinstance(module.inputs, Inputs)
        table = module.inputs.tables[place]
        assert (table.embedding_dim, table.weight.requires_grad) == (width, use != "frozen")
        assert torch.equal(table.weight[1:], ROWS[1:]) == (use != "off")
        fed = [table for table in trace(module, SCHEMA).tables if "item_id" in (table.columns or ())]
        assert len(fed) == (columns or 0)
        start = table.weight.detach().clone()
        state = train(module, DATA, Alternate(), 1)
        if use == "trained":
            trained = parameters_of(state.shared)[f"inputs.tables.{place}.weight"]
            assert not torch.equal(trained, start)
            assert torch.equal(table.weight, start)
    assert torch.equal(ROWS, SCHEMA.vectors["item_id"])


@pytest.mark.parametrize("name", ["mlp", "wdl", "deepfm", "star"])
@pytest.mark.parametrize("use", ["frozen", "trained", "off"])
def test_parameters_are_counted_without_frozen_ones(name: str, use: str) -> None:
    settings = SMALL[name] | {"features": {"vectors": use}}
    module, counted = build(name, SCHEMA, settings), size(name, SCHEMA, settings)
    assert counted["parameters"] == sum(p.numel() for p in module.parameters() if p.requires_grad)
    parts = counted["embeddings"] + counted["network"] + counted["per_domain"] * len(SCHEMA.domains)
    assert parts == counted["parameters"]


def test_settings_for_vectors_that_are_not_there() -> None:
    with pytest.raises(
        ModelError, match=r"vectors names 'user_id'; expected one of the data's columns item_id"
    ):
        build("mlp", SCHEMA, {"features": {"vectors": {"user_id": "trained"}}})
    with pytest.raises(ModelError, match="there is none of this kind"):
        build("mlp", PLAIN.schema, {"features": {"vectors": {"user_id": "trained"}}})


def test_a_run_is_opened_again_with_the_datas_vectors(tmp_path: Path) -> None:
    """The run's folder does not hold them; the data's does, and its fingerprint says that they are the same."""
    DATA.save(tmp_path / "data")
    data = Dataset.load(tmp_path / "data")
    module = build("mlp", data.schema, SMALL["mlp"])
    run = mamdr.fit(module, data, Alternate(), rounds=1, batch_size=16, folder=tmp_path / "run")
    again = mamdr.Run.open(tmp_path / "run", module=build("mlp", data.schema, SMALL["mlp"], seed=9))
    batch, _ = next(data.test.batches([0], 16, None))
    assert torch.equal(again.score(0, batch), run.score(0, batch))
    assert again.evaluate("test").mean_auc == run.evaluate("test").mean_auc
