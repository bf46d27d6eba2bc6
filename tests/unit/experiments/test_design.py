"""Grids of recipes: which cells there are, what each trains, and what it is called."""

from __future__ import annotations

import pytest

from mamdr import models, strategies
from mamdr.errors import ConfigError
from mamdr.experiments import EXPERIMENTS, cells

TABLE_10 = EXPERIMENTS["table-10"]


def test_every_experiment_makes_recipes_that_parse() -> None:
    for experiment in EXPERIMENTS.values():
        made = cells(experiment, 1, rows=["all"], columns=["all"])
        assert len(made) == len(experiment.rows) * len(experiment.columns)


def test_every_model_and_every_framework_is_in_a_table() -> None:
    assert {line.name for line in EXPERIMENTS["table-5"].rows} == {*models.MODELS, "mlp+mamdr"}
    assert {line.name for line in TABLE_10.rows} == set(models.MODELS)
    made_of_others = {"freeze", "then", "torchjd"}
    assert {line.name for line in TABLE_10.columns} == set(strategies.STRATEGIES) - made_of_others


def test_the_paper_has_ten_methods_and_ten_frameworks() -> None:
    assert len(cells(EXPERIMENTS["table-5"], 1)) == 10
    columns = {cell.column for cell in cells(TABLE_10, 1)}
    assert columns <= {
        *("alternate", "finetune", "weighted_loss", "pcgrad", "maml", "reptile", "mldg", "dn", "dr", "mamdr")
    }


def test_cells_come_seed_by_seed() -> None:
    assert [cell.seed for cell in cells(EXPERIMENTS["table-6"], 2)] == [1, 1, 1, 1, 2, 2, 2, 2]


def test_the_same_training_has_the_same_key_in_every_experiment() -> None:
    keys = [
        {cell.key for cell in cells(EXPERIMENTS[name], 1) if "mlp-alternate" in cell.key}
        for name in ("table-5", "table-6", "table-7", "table-8", "table-10")
    ]
    assert all(len(key) == 1 and key == keys[0] for key in keys)


def test_a_key_does_not_depend_on_where_a_cell_is_trained_but_on_what_it_trains() -> None:
    experiment = EXPERIMENTS["table-6"]
    plain = cells(experiment, 1)
    assert [c.key for c in cells(experiment, 1, ["train.jobs=2"])] == [c.key for c in plain]
    assert all(a.key != b.key for a, b in zip(plain, cells(experiment, 1, ["inner.lr=0.01"]), strict=True))


def test_a_cell_that_serves_by_own_rounds_has_the_one_round_of_its_training_in_it() -> None:
    of = {cell.row: cell for cell in cells(EXPERIMENTS["safe"], 1, rows=["all"])}
    for own, one in (("alternate+own", "alternate"), ("dn+own", "dn"), ("mamdr", "mamdr-one")):
        twin = of[own].one_round
        assert twin is not None
        assert (twin.key, twin.recipe) == (of[one].key, of[one].recipe)
        assert of[one].one_round is None
    late = cells(EXPERIMENTS["safe"], 1, ["train.shares=[0.0,1.0]"], rows=["alternate+own"])
    assert late[0].one_round is None


def test_an_override_with_a_name_is_for_cells_of_that_name() -> None:
    made = cells(EXPERIMENTS["table-6"], 1, ["dn:strategy.outer_lr=0.4", "mlp:model.embedding=8"])
    rates = {cell.row: getattr(cell.recipe.strategy, "outer_lr", None) for cell in made}
    assert rates == {"mamdr": 0.1, "dr": None, "dn": 0.4, "alternate": 1.0}
    assert {cell.recipe.model["embedding"] for cell in made} == {8}


def test_an_override_may_name_a_line() -> None:
    made = cells(
        EXPERIMENTS["safe"], 1, ["alternate+own:train.snapshots=3"], rows=["alternate", "alternate+own"]
    )
    assert {cell.row: cell.recipe.train.snapshots for cell in made} == {"alternate": 1, "alternate+own": 3}


def test_an_override_for_nobody_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"for 'alternat', which is nothing in table-10.*Did you mean 'alternate'"
    ):
        cells(TABLE_10, 1, ["alternat:train.rounds=3"], rows=["mlp"])
    made = cells(TABLE_10, 1, ["star:train.rounds=3"], rows=["mlp"])  # a model that is left out today
    assert all(cell.recipe.train.rounds != 3 for cell in made)


def test_what_a_grid_varies_counts_whatever_is_set() -> None:
    made = cells(EXPERIMENTS["figure-9"], 1, ["strategy.outer_lr=0.3", "inner.lr=0.5"])
    assert {cell.recipe.strategy.outer_lr for cell in made} == {1.0, 0.5, 0.1, 0.05, 0.01}  # type: ignore[attr-defined]
    assert {cell.recipe.walk.inner.lr for cell in made} == {1e-1, 1e-2, 1e-3, 1e-4}


def test_what_a_line_says_gives_way_to_an_override_with_its_name() -> None:
    def weight(*overrides: str) -> tuple[float, float]:
        made = cells(EXPERIMENTS["safe"], 1, overrides, rows=["mamdr", "mamdr-one"])
        first, second = (cell.recipe.strategy.averaging for cell in made)  # type: ignore[attr-defined]
        return first, second

    assert weight() == weight("strategy.averaging=0.25") == (0.8, 0.8)
    assert weight("mamdr: strategy.averaging=0.25", "strategy.averaging=0.5") == (0.25, 0.25)
    assert weight("alternate:strategy.averaging=0.25") == (0.8, 0.8)
    varied = cells(EXPERIMENTS["figure-9"], 1, ["dn:inner.lr=0.5"])
    assert {cell.recipe.walk.inner.lr for cell in varied} == {0.5}
    assert {cell.recipe.walk.inner.lr for cell in cells(EXPERIMENTS["figure-9"], 1)} == {
        1e-1,
        1e-2,
        1e-3,
        1e-4,
    }


def test_an_unknown_line_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'mamdr'"):
        cells(TABLE_10, 1, columns=["mamdrr"])


def test_a_setting_that_a_cell_does_not_take_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.num_helper"):
        cells(TABLE_10, 1, ["mamdr:strategy.num_helper=1"])
