"""From cells' results to tables, by hand."""

from __future__ import annotations

import json
import math
import statistics

import pytest

from mamdr.evaluation.spread import spread
from mamdr.experiments.catalog import EXPERIMENTS
from mamdr.experiments.design import Cell, cells
from mamdr.experiments.forms import as_csv, as_json, markdown
from mamdr.experiments.page import page
from mamdr.experiments.published import published
from mamdr.experiments.results import Result
from mamdr.experiments.tables import summarise

AUCS = {  # by row, by seed: the two domains' AUCs
    "mamdr": {1: (0.80, 0.70), 2: (0.82, 0.74)},
    "dr": {1: (0.70, 0.75), 2: (0.70, 0.75)},
    "dn": {1: (0.60, 0.60), 2: (0.60, 0.60)},
    "alternate": {1: (0.50, 0.60), 2: (0.52, 0.60)},
}
TABLE_6 = EXPERIMENTS["table-6"]


def result(cell: Cell) -> Result:
    aucs = AUCS[cell.row][cell.seed]
    return {
        "test": {
            "mean_auc": sum(aucs) / 2,
            "domains": {
                name: {"auc": auc, "samples": 10 * (number + 1)}
                for number, (name, auc) in enumerate(zip("ab", aucs, strict=True))
            },
        },
        "val": 0.6,
        "round": cell.seed,
        "rounds": 3,
        "seconds_a_round": 2.0,
        "parameters": 1234,
        "finetuned": False,
    }


@pytest.fixture
def made() -> dict[Cell, Result]:
    return {cell: result(cell) for cell in cells(TABLE_6, 2)}


def test_means_intervals_and_lifts_are_over_seeds(made: dict[Cell, Result]) -> None:
    summary = summarise(TABLE_6, list(made), made, "tiny")
    entry = summary.entry("mamdr", "")
    assert entry is not None
    assert entry.test is not None
    assert entry.lift is not None
    assert entry.test.mean == pytest.approx((0.75 + 0.78) / 2)
    assert entry.test.half == pytest.approx(12.7062 * statistics.stdev([0.75, 0.78]) / math.sqrt(2))
    assert entry.lift.mean == pytest.approx((0.20 + 0.22) / 2)
    assert entry.least == pytest.approx(0.20)
    assert entry.domains == pytest.approx({"a": 0.81, "b": 0.72})


def test_ranks_are_among_all_rows(made: dict[Cell, Result]) -> None:
    summary = summarise(TABLE_6, list(made), made, "tiny")
    ranks = {entry.row: entry.rank for entry in summary.entries}
    assert summary.ranked == ("mamdr", "dr", "dn", "alternate")
    assert ranks == pytest.approx({"mamdr": 1.5, "dr": 1.5, "dn": 3.25, "alternate": 3.75})


def test_the_baseline_has_no_lift(made: dict[Cell, Result]) -> None:
    entry = summarise(TABLE_6, list(made), made, "tiny").entry("alternate", "")
    assert entry is not None
    assert entry.lift is None
    assert entry.least is None


def test_a_seed_that_lacks_a_method_counts_in_no_rank(made: dict[Cell, Result]) -> None:
    some = {cell: r for cell, r in made.items() if (cell.row, cell.seed) != ("dn", 2)}
    summary = summarise(TABLE_6, list(made), some, "tiny")
    ranks = {entry.row: entry.rank for entry in summary.entries}
    assert ranks == pytest.approx({"mamdr": 1.5, "dr": 1.5, "dn": 3.25, "alternate": 3.75})
    assert summary.missing == 1


def test_a_training_that_diverged_is_told(made: dict[Cell, Result]) -> None:
    for cell in made:
        if cell.row == "dn":
            made[cell] = {"error": "the training loss became nan"}
    summary = summarise(TABLE_6, list(made), made, "tiny")
    entry = summary.entry("dn", "")
    assert entry is not None
    assert entry.failed == (1, 2)
    assert "diverged" in markdown(summary)
    assert {entry.rank for entry in summary.entries} == {None}


def test_the_papers_figures_stand_beside_those_of_its_data(made: dict[Cell, Result]) -> None:
    assert "0.7822" in markdown(summarise(TABLE_6, list(made), made, "amazon-6"))
    assert "paper" not in markdown(summarise(TABLE_6, list(made), made, "tiny"))
    assert published("table-10", "taobao-10", "star", "mamdr") == 0.7520
    assert published("table-10", "taobao-10", "star", "cagrad") is None
    assert published("table-8", "taobao-online", "ple", "") == 0.7513


def test_every_form_tells_the_same(made: dict[Cell, Result]) -> None:
    summary = summarise(TABLE_6, list(made), made, "tiny")
    told = json.loads(json.dumps(as_json(summary)))
    by_row = {entry["row"]: entry["test"]["mean"] for entry in told["entries"]}
    assert by_row["mamdr"] == pytest.approx(0.765)
    assert "0.7650" in markdown(summary)
    assert "0.7650" in page(summary)
    lines = as_csv(list(made), made).splitlines()
    assert len(lines) == 1 + 8 * 3
    assert "mamdr,,1,mean,0.75,0.6,1" in lines


def test_the_domains_view_shows_the_largest_first() -> None:
    table_9 = EXPERIMENTS["table-9"]
    made = {cell: result_of_row(cell) for cell in cells(table_9, 1)}
    text = markdown(summarise(table_9, list(made), made, "tiny")).splitlines()
    assert [line.split("|")[1].strip() for line in text[2:]] == ["b", "a", "mean of all"]


def result_of_row(cell: Cell) -> Result:
    return result(Cell("dn", cell.column, cell.seed, cell.recipe, cell.key))


def test_a_grid_has_rows_columns_and_the_papers_line() -> None:
    table_10 = EXPERIMENTS["table-10"]
    made = {
        cell: result_of_row(cell) for cell in cells(table_10, 1, rows=["mlp"], columns=["dn", "alternate"])
    }
    text = markdown(summarise(table_10, list(made), made, "taobao-10"))
    assert "| MLP | 0.6000 | 0.6000 | 2.00 | 1,234 |" in text
    assert "| MLP, paper | 0.7022 | 0.7204 |  |  |" in text


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (4, 2.776), (30, 2.042), (60, 2.000), (500, 1.965)]
)
def test_intervals_are_students(freedom: int, quantile: float) -> None:
    values = [0.0, 1.0] * ((freedom + 2) // 2)
    values = values[: freedom + 1]
    found = spread(values)
    assert found is not None
    assert found.half is not None
    standard = statistics.stdev(values) / math.sqrt(len(values))
    assert found.half / standard == pytest.approx(quantile, abs=1e-3)
