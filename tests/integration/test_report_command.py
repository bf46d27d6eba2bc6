"""`mamdr report` on runs that were really trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mamdr
from mamdr.cli import app
from mamdr.errors import CheckpointError, ConfigError
from mamdr.evaluation.report import RunSummary, report_runs
from mamdr.training import Run

RECIPE = """
[model]
name = "mlp"
embedding = 4
hidden = [8]
[strategy]
name = "alternate"
[train]
rounds = 2
"""


def train(folder: Path, strategy: str, market: str = "data", *more: str) -> Path:
    (folder / "recipe.toml").write_text(RECIPE)
    if not (folder / market).exists():
        items = 30 + len(market)
        mamdr.synthetic_market(domains=3, users=60, items=items, samples_per_domain=200).save(folder / market)
    out = folder / "-".join([strategy, market, *(["chosen"] if more else [])])
    options = [
        "--data",
        str(folder / market),
        "--out",
        str(out),
        "--set",
        f"strategy.name={strategy}",
        "--quiet",
        *more,
    ]
    result = CliRunner().invoke(app, ["train", str(folder / "recipe.toml"), *options])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("report")
    return [train(folder, name) for name in ("alternate", "dn")]


def test_a_summary_says_what_the_run_says(runs: list[Path]) -> None:
    run = Run.open(runs[1])
    summary = RunSummary.from_run(run)
    assert summary.metrics == run.evaluate("test")
    assert (summary.name, summary.strategy, summary.model, summary.finetuned) == (
        "dn-data",
        "dn",
        "mlp",
        False,
    )
    assert [record.round for record in summary.rounds] == [1, 2]
    best = summary.rounds[run.info["best_round"] - 1]
    assert best.val_mean_auc == run.info["best_value"]
    assert summary.stopped_by == "all rounds done"


def test_command_writes_one_page(runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = CliRunner()
    several = command.invoke(app, ["report", *map(str, runs), "--baseline", "dn-data"])
    assert several.exit_code == 0, several.output
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Lift against dn-data" in text
    assert f"{Run.open(runs[0]).evaluate('test').mean_auc:.4f}" in text
    assert command.invoke(app, ["report", str(runs[0])]).exit_code == 0
    assert (runs[0] / "report.html").is_file()


def test_page_and_figures_tell_what_serves_each_domain(runs: list[Path], tmp_path: Path) -> None:
    chosen = (
        "--set",
        "train.shares=[0.0,0.5,1.0]",
        "--set",
        "train.choose=domain",
        "--set",
        "strategy.num_helpers=1",
    )
    run = train(runs[0].parent, "mamdr", "data", *chosen)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    told = next(event["domains"] for event in events if event["event"] == "own_rounds")
    command = CliRunner()
    said = command.invoke(app, ["evaluate", str(run), "--json"])
    figures = json.loads(said.stdout)["domains"]
    assert len(told) == 3
    assert {name: (row["share"], row["own_round"]) for name, row in figures.items()} == {
        name: (domain["share"], domain["round"]) for name, domain in told.items()
    }
    table = command.invoke(app, ["evaluate", str(run)]).stdout
    assert "share λ   own round" in table
    said = command.invoke(app, ["evaluate", str(runs[0]), "--json"])
    assert {(row["share"], row["own_round"]) for row in json.loads(said.stdout)["domains"].values()} == {
        (None, None)
    }
    assert "own round" not in command.invoke(app, ["evaluate", str(runs[0])]).stdout

    _, comparison = report_runs([runs[0], run], out=tmp_path / "report.html")
    plain, mamdr_run = comparison.runs
    assert plain.shares is plain.own_rounds is None
    assert mamdr_run.shares is not None
    assert mamdr_run.own_rounds is not None
    served = zip(mamdr_run.domains, mamdr_run.shares.tolist(), mamdr_run.own_rounds.tolist(), strict=True)
    assert {name: (share, round) for name, share, round in served} == {
        name: (domain["share"], domain["round"]) for name, domain in told.items()
    }
    assert '"round":[[' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_terminal_tells_how_many_domains_lose(runs: list[Path], tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["report", *map(str, runs), "--out", str(tmp_path / "report.html")]).stdout
    _, comparison = report_runs(runs, out=tmp_path / "again.html")
    assert f"dn-data: {comparison.lifts['dn-data'].lose} of 3 domains lose" in said


def test_runs_on_different_data_are_refused_before_scoring(runs: list[Path]) -> None:
    other = train(runs[0].parent, "dn", "elsewhere")
    with pytest.raises(
        ConfigError, match=r"'alternate-data' was trained on .* 'dn-elsewhere' was trained on"
    ):
        report_runs([runs[0], other])


def test_what_is_no_run_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run at"):
        report_runs([runs[0], tmp_path])
    assert list(tmp_path.iterdir()) == []
