"""From raw Amazon review files to trained runs, on real data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mamdr.cli import app

SMALL = (
    "model.embedding=16",
    "model.hidden=[64, 32]",
    "model.dropout=0.2",
    "walk.batch_size=256",
    "train.rounds=6",
)


def _mamdr(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def amazon(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five 5-core categories that lie in the folder, built."""
    folder = tmp_path_factory.mktemp("amazon") / "data"
    _mamdr("data", "build", "amazon", "--raw", real_data / "amazon2018", "--out", folder)
    return folder


@pytest.mark.parametrize("method", ["mlp-alternate", "mlp-dn", "mlp-dr", "mamdr"])
def test_raw_reviews_to_a_run_that_has_learned(amazon: Path, tmp_path: Path, method: str) -> None:
    recipe = Path(__file__).resolve().parents[2] / "recipes" / f"{method}.toml"
    faster = {"mlp-dn": ("strategy.outer_lr=0.8",)}
    values = [word for value in (*SMALL, *faster.get(method, ())) for word in ("--set", value)]
    out = tmp_path / method
    _mamdr("train", recipe, "--data", amazon, "--out", out, "--quiet", *values)
    result = json.loads(_mamdr("evaluate", out, "--json"))
    assert set(result["domains"]) == {
        "AMAZON_FASHION",
        "All_Beauty",
        "Appliances",
        "Gift_Cards",
        "Magazine_Subscriptions",
    }
    assert result["mean_auc"] > 0.6  # chance is 0.5
    page = tmp_path / "report.html"
    _mamdr("report", out, "--out", page)
    assert "Gift_Cards" in page.read_text(encoding="utf-8")
