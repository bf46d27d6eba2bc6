"""`mamdr models` lists every model."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

import mamdr
from mamdr.cli import app
from mamdr.models import MODELS


def test_the_table_names_every_model_with_its_settings() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    for name in MODELS:
        assert f" {name} " in result.stdout
        assert "embedding = 128" in result.stdout
    assert "hidden = [256, 128, 64]" in result.stdout
    assert "10 domains, ids: 10,000 of user_id, 5,000 of item_id. Settings go under [model]" in result.stdout


def test_json_for_a_data_folder(tmp_path: Path) -> None:
    market = mamdr.synthetic_market(domains=2, users=30, items=10, samples_per_domain=60)
    market.save(tmp_path / "data")
    result = CliRunner().invoke(app, ["models", "--data", str(tmp_path / "data"), "--json"])
    counted = json.loads(result.stdout)
    assert counted.keys() == MODELS.keys()
    assert counted["mlp"]["embeddings"] == 128 * sum(market.schema.ids.values())
