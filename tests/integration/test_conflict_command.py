"""`mamdr conflict` as a user types it: figures, files, the report's section, rounds that training recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mamdr.cli import app
from mamdr.data.market import synthetic_market
from mamdr.errors import CheckpointError, ConfigError
from mamdr.evaluation.conflict import Conflict
from mamdr.evaluation.report import report_runs
from mamdr.training import Run
from mamdr.training.conflict import read_conflict

RECIPE = """[model]
name = "mlp"
embedding = 4
hidden = [8]
[strategy]
name = "mamdr"
num_helpers = 1
[walk]
batch_size = 64
[train]
rounds = 3
patience = 0
conflict_every = 2
"""


def told(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run, which the tests leave as they are but for what the command writes."""
    folder = tmp_path_factory.mktemp("conflict")
    dials: dict[str, Any] = {"domains": 5, "users": 60, "items": 30, "samples_per_domain": 150}
    synthetic_market(**dials).save(folder / "data")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    told("train", folder / "recipe.toml", "--data", folder / "data", "--out", folder / "run", "--quiet")
    return folder


def test_figures_and_files(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "conflict.json"
    said = json.loads(told("conflict", folder / "run", "--json", "--out", out))
    assert said == json.loads(out.read_text()) == json.loads((folder / "run" / "conflict.json").read_text())
    assert (said["domains_compared"], said["domains"], said["pairs"]) == (5, 5, 10)
    found = Conflict.from_json(said, said["names"])
    assert found.mean_cosine == said["mean_cosine"]
    assert said["round"] == Run.open(folder / "run").state.round
    assert json.loads(told("conflict", folder / "run", "--json")) == said


def test_the_terminal_says_when_it_is_a_sample(folder: Path) -> None:
    assert "5 of 5 domains, 10 pairs" in told("conflict", folder / "run")
    sampled = told("conflict", folder / "run", "--domains", 3)
    assert "3 of 5 domains, a sample, 3 pairs" in " ".join(sampled.split())
    assert "±" in sampled


def test_rounds_tell_of_the_start_of_what_was_recorded_and_of_the_last(folder: Path) -> None:
    said = json.loads(told("conflict", folder / "run", "--rounds", "--json"))
    assert [record["round"] for record in said["rounds"]] == [0, 2, 3]
    events = Run.open(folder / "run").events
    recorded = {event["round"]: event["conflict"] for event in events if "conflict" in event}
    assert recorded.keys() == {0, 2}
    for record in said["rounds"]:
        if record["round"] in recorded:
            assert record == {"round": record["round"], **recorded[record["round"]]}
    by_round = {record["round"]: record for record in said["rounds"]}
    assert by_round[said["round"]]["mean_cosine"] == pytest.approx(said["mean_cosine"])
    assert " (best)" in told("conflict", folder / "run", "--rounds")


def test_the_start_is_the_same_when_nothing_was_recorded(folder: Path) -> None:
    """What `--rounds` makes anew of the first parameters is what training saw there."""
    silent = folder / "silent"
    told(
        "train",
        folder / "recipe.toml",
        *("--data", folder / "data", "--out", silent, "--quiet"),
        *("--set", "train.conflict_every=0"),
    )
    said = json.loads(told("conflict", silent, "--rounds", "--json"))
    recorded = next(event["conflict"] for event in Run.open(folder / "run").events if "conflict" in event)
    assert said["rounds"][0] == {"round": 0, **recorded}
    assert not any("conflict" in event for event in Run.open(silent).events)


def test_a_page_of_its_own_and_a_section_of_the_report(folder: Path, tmp_path: Path) -> None:
    told("conflict", folder / "run", "--rounds", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<rect class=") == 25
    assert "domain-00000 and domain-00001" in page or "domain-00001 and domain-00000" in page
    assert "Mean cosine by round" in page
    assert "http" not in page.replace("http-equiv", "")
    report, _ = report_runs([folder / "run"], out=tmp_path / "report.html")
    assert "Conflict between domains" in report.read_text(encoding="utf-8")
    (folder / "run" / "conflict.json").unlink()
    report, _ = report_runs([folder / "run"], out=tmp_path / "report.html")
    assert "Conflict between domains" not in report.read_text(encoding="utf-8")


def test_what_cannot_be_done_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out .*\.png; expected a file that ends in .html or .json"):
        told("conflict", folder / "run", "--out", tmp_path / "map.png")
    with pytest.raises(CheckpointError, match="no run at"):
        told("conflict", tmp_path)
    (tmp_path / "conflict.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"conflict.json is damaged; .* Run mamdr conflict again"):
        read_conflict(tmp_path, "")
    (tmp_path / "conflict.json").write_text('{"fingerprint": "other"}', encoding="utf-8")
    assert read_conflict(tmp_path, "mine") is None
