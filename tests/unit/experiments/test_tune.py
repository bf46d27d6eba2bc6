"""Searches: validation alone decides, a killed one goes on, and the best recipe is one that trains."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import pytest

import mamdr
from mamdr.data.domains import Dataset, DomainData
from mamdr.errors import ConfigError, TrainingError
from mamdr.experiments import tune as module
from mamdr.training import Recipe
from mamdr.training.search import OneOf, Range

pytest.importorskip("optuna")

TABLES: dict[str, Any] = {
    "model": {"name": "mlp", "embedding": 4, "hidden": [8]},
    "strategy": {"name": "dn"},
    "walk": {"batch_size": 64},
    "train": {"rounds": 2},
    "search": {
        "strategy.outer_lr": {"low": 0.05, "high": 1.0, "log": True},
        "model.hidden": [[8], [8, 4]],
        "strategy.steps": {"low": 1, "high": 3},
    },
}


def data() -> Dataset:
    return mamdr.synthetic_market(domains=2, users=40, items=30, samples_per_domain=120)


class Untouchable(DomainData):
    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(f"test rows were read: {name}")


def test_a_search_tries_so_many_settings_and_writes_the_best(tmp_path: Path) -> None:
    recipe = Recipe.parse(TABLES)
    trials = module.tune(recipe, data(), tmp_path, trials=4)
    best = module.best_of(trials)
    assert len(trials) == 4
    assert best.value == max(trial.value for trial in trials if trial.value is not None)
    written = Recipe.parse(tomllib.loads((tmp_path / "best.toml").read_text()))
    assert written.model["hidden"] == tuple(best.settings["model.hidden"])
    assert written.strategy.outer_lr == best.settings["strategy.outer_lr"]  # type: ignore[attr-defined]
    assert written.strategy.steps in (1, 2, 3)  # type: ignore[attr-defined]
    with (tmp_path / "trials.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["value"]) for line in lines] == [trial.value for trial in trials]


def test_the_best_settings_train_to_the_figure_that_was_found(tmp_path: Path) -> None:
    trials = module.tune(Recipe.parse(TABLES), data(), tmp_path, trials=2)
    recipe = Recipe.load(tmp_path / "best.toml")
    assert module.train(recipe, data()).info["best_value"] == module.best_of(trials).value


def test_test_rows_are_not_read(tmp_path: Path) -> None:
    market = data()
    market.__dict__["test"] = Untouchable.__new__(Untouchable)
    market.__dict__["fingerprint"] = "of a market"
    assert len(module.tune(Recipe.parse(TABLES), market, tmp_path, trials=1)) == 1


def test_a_search_goes_on_and_makes_a_killed_trial_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, honest = Recipe.parse(TABLES), module.train

    def killed(*args: Any, **settings: Any) -> NoReturn:
        raise KeyboardInterrupt

    module.tune(recipe, data(), tmp_path, trials=1)
    monkeypatch.setattr(module, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        module.tune(recipe, data(), tmp_path, trials=2)
    monkeypatch.setattr(module, "train", honest)
    trials = module.tune(recipe, data(), tmp_path, trials=3)
    assert [trial.state for trial in trials] == ["complete", "fail", "complete"]
    assert trials[2].settings == trials[1].settings


def test_a_trial_that_diverges_is_no_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*args: Any, **settings: Any) -> NoReturn:
        raise TrainingError("the training loss became nan", "a finite number", "Lower the inner lr")

    monkeypatch.setattr(module, "train", diverged)
    with pytest.raises(TrainingError, match="no trial came to an end"):
        module.tune(Recipe.parse(TABLES), data(), tmp_path, trials=2)


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    module.tune(Recipe.parse(TABLES), data(), tmp_path, trials=1)
    other = Recipe.parse(TABLES | {"inner": {"lr": 0.5}})
    with pytest.raises(ConfigError, match="a search with another recipe"):
        module.tune(other, data(), tmp_path, trials=2)


def test_a_recipe_without_a_search_says_so(tmp_path: Path) -> None:
    tables = {name: table for name, table in TABLES.items() if name != "search"}
    with pytest.raises(ConfigError, match=r"no \[search\]"):
        module.tune(Recipe.parse(tables), data(), tmp_path, trials=1)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"low": 1}, "a list of values"),
        ([], "a list of values"),
        ({"low": 2, "high": 1}, "low < high"),
        ({"low": 0.0, "high": 1.0, "log": True}, "0 < low < high"),
        ({"low": 0.1, "high": 1.0, "logg": True}, "Did you mean 'log'"),
    ],
)
def test_what_cannot_be_searched_is_told_when_the_recipe_is_read(said: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.parse(TABLES | {"search": {"strategy.outer_lr": said}})


def test_choices_are_read_as_they_are_meant() -> None:
    found = Recipe.parse(TABLES).search
    assert isinstance(found["model.hidden"], OneOf)
    assert isinstance(found["strategy.steps"], Range)
    assert found["strategy.steps"].whole
    assert Recipe.parse(Recipe.parse(TABLES).tables()).search == found
    assert not found["strategy.outer_lr"].whole  # type: ignore[union-attr]
