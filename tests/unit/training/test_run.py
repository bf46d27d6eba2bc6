"""A run, once trained: opened again, scored, measured, and its domains' modules taken out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from tests.unit.training.runs import Normed, odd_market, train

from mamdr.data.domains import Dataset
from mamdr.errors import CheckpointError, ConfigError, DataError
from mamdr.models import build
from mamdr.strategies import (
    MAMDR,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Joint,
    Reptile,
    Separate,
    Strategy,
    Then,
)
from mamdr.testing import TwoTables, same_bits, tiny_market
from mamdr.training import Recipe, Run, Trainer, fit

STRATEGIES: dict[str, Strategy] = {
    "alternate": Alternate(),
    "dn": DomainNegotiation(outer_lr=0.5),
    "dr": DomainRegularization(num_helpers=1, specific_lr=0.8),
    "mamdr": MAMDR(num_helpers=1, specific_lr=0.8),
    "authors": MAMDR.authors(num_helpers=1),
    "finetune": Finetune(MAMDR(num_helpers=1)),
    "joint": Joint(),
    "reptile": Reptile(),
    "separate": Separate(),
    "then": Then(DomainNegotiation(), DomainRegularization(num_helpers=1, specific_lr=0.8)),
}
RECIPE = Recipe.parse(
    {
        "model": {"name": "mlp", "embedding": 4, "hidden": [8]},
        "strategy": {"name": "mamdr", "num_helpers": 1},
        "walk": {"batch_size": 8},
        "train": {"rounds": 2, "patience": 0, "seed": 4},
    }
)


def train_recipe(folder: Path, data: Dataset, recipe: Recipe = RECIPE) -> Run:
    """A run of a recipe, as `mamdr train` makes it."""
    settings = dict(recipe.model)
    module = build(settings.pop("name"), data.schema, settings, seed=recipe.train.seed)
    return Trainer(
        module, data, recipe.strategy, recipe.train, recipe.walk, folder=folder, recipe=recipe.tables()
    ).fit()


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    tiny_market().save(tmp_path / "data")
    return Dataset.load(tmp_path / "data")


def scored(run: Run, split: str = "test") -> dict[int, np.ndarray]:
    return dict(run.predict(split))


def same_scores(one: Run, other: Run) -> bool:
    pairs = zip(scored(one).values(), scored(other).values(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_recipes_run_opens_by_itself(tmp_path: Path, data: Dataset) -> None:
    run = train_recipe(tmp_path / "run", data)
    for given in (tmp_path / "run", str(tmp_path / "run")):
        again = Run.open(given)
        assert same_bits(run.state, again.state)
        assert (again.strategy, again.walk, again.info, again.name) == (
            run.strategy,
            run.walk,
            run.info,
            "run",
        )
        assert same_scores(run, again)
        assert again.events == run.events


def test_it_opens_from_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_market().save("data")
    run = train_recipe(Path("run"), Dataset.load("data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert same_scores(Run.open("../run"), Run.open(tmp_path / "run"))
    assert run.name == "run"


def test_data_that_moved(tmp_path: Path, data: Dataset) -> None:
    run = train_recipe(tmp_path / "run", data)
    shutil.move(tmp_path / "data", tmp_path / "moved")
    with pytest.raises(
        CheckpointError, match=r"the data of .*run are no longer at .*data; .* Give it with --data"
    ):
        Run.open(tmp_path / "run")
    assert same_scores(run, Run.open(tmp_path / "run", data=tmp_path / "moved"))
    assert same_scores(run, Run.open(tmp_path / "run", data=data))


def test_resuming_remembers_where_data_moved(tmp_path: Path, data: Dataset) -> None:
    train_recipe(tmp_path / "run", data)
    shutil.move(tmp_path / "data", tmp_path / "moved")
    moved = Dataset.load(tmp_path / "moved")
    settings = dict(RECIPE.model)
    module = build(settings.pop("name"), moved.schema, settings, seed=4)
    Trainer(
        module,
        moved,
        RECIPE.strategy,
        RECIPE.train,
        RECIPE.walk,
        folder=tmp_path / "run",
        recipe=RECIPE.tables(),
    ).fit(resume=True)
    assert Run.open(tmp_path / "run").data.folder == tmp_path / "moved"


def test_data_made_in_memory_must_be_given(tmp_path: Path) -> None:
    run = train_recipe(tmp_path / "run", tiny_market())
    with pytest.raises(
        CheckpointError, match=r"in no folder \('tiny' was in memory\); .* --data \(data= in Python\)"
    ):
        Run.open(tmp_path / "run")
    assert same_scores(run, Run.open(tmp_path / "run", data=tiny_market()))


def test_other_data_are_refused(tmp_path: Path, data: Dataset) -> None:
    train_recipe(tmp_path / "run", data)
    with pytest.raises(
        CheckpointError, match=r"are not those that .*run was trained on \('tiny'\); expected finger"
    ):
        Run.open(tmp_path / "run", data=tiny_market(seed=5))
    with pytest.raises(DataError, match="there is no folder"):
        Run.open(tmp_path / "run", data=tmp_path / "none")


def test_your_own_module_and_strategy_must_be_given(tmp_path: Path) -> None:
    run, data = train(tmp_path / "run", STRATEGIES["then"]), tiny_market()
    with pytest.raises(
        ConfigError, match=r"the run's model is a module of your own .*Run.open\(folder, module="
    ):
        Run.open(tmp_path / "run", data=data)
    with pytest.raises(
        ConfigError, match=r"the run's strategy is one of your own .*Run.open\(folder, strategy="
    ):
        Run.open(tmp_path / "run", data=data, module=Normed())
    again = Run.open(tmp_path / "run", data=data, module=Normed(), strategy=STRATEGIES["then"])
    assert same_scores(run, again)


def test_a_run_without_a_recipe(tmp_path: Path) -> None:
    run, data = train(tmp_path / "run", Alternate(), recipe={}), tiny_market()
    with pytest.raises(ConfigError, match="a module of your own"):
        Run.open(tmp_path / "run", data=data)
    again = Run.open(tmp_path / "run", data=data, module=Normed(), strategy=Alternate())
    assert same_scores(run, again)


def test_a_recipe_that_was_edited_afterwards(tmp_path: Path, data: Dataset) -> None:
    train_recipe(tmp_path / "run", data)
    path = tmp_path / "run" / "recipe.toml"
    path.write_text(path.read_text().replace("num_helpers = 1", "num_helpers = 2"))
    with pytest.raises(
        CheckpointError, match=r"was trained with strategy.num_helpers = 1, the recipe says 2"
    ):
        Run.open(tmp_path / "run")


def test_a_run_without_a_round_yet(tmp_path: Path, data: Dataset) -> None:
    train_recipe(tmp_path / "run", data)
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('"best_round": ', '"best_round": 0, "was": '))
    with pytest.raises(CheckpointError, match=r"has no finished round; .*--resume"):
        Run.open(tmp_path / "run")


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_domains_module_scores_as_the_run(strategy: Strategy) -> None:
    run = train(strategy=strategy, rounds=3)
    for domain, expected in run.predict("test"):
        batch, _ = next(run.data.test.batches([domain], 100, None))
        name = run.data.schema.domains[domain]
        module = run.module_for(name)
        assert not module.training
        with torch.no_grad():
            found = torch.sigmoid(module(batch)).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(run.score(domain, batch).numpy(), found)
        assert torch.equal(run.score(name, batch), run.score(domain, batch))


def test_scoring_needs_no_domain_column(tmp_path: Path, data: Dataset) -> None:
    run = train_recipe(tmp_path / "run", data)  # the MLP reads the domain
    batch, _ = next(data.test.batches([2], 100, None))
    given = run.score(2, batch)
    del batch["domain"]
    assert torch.equal(run.score(2, batch), given)


def test_a_domain_that_is_not_there() -> None:
    run = train(rounds=1)
    with pytest.raises(
        ConfigError, match=r"no domain is named 'd11'; expected one of the data's. Did you mean 'd1'\?"
    ):
        run.module_for("d11")
    for number in (-1, 4):
        with pytest.raises(ConfigError, match=f"domain {number}; expected a number from 0 to 3"):
            run.module_for(number)


def test_taking_a_module_out_changes_nothing() -> None:
    run = train(rounds=2)
    before = scored(run)
    module = run.module_for(1)
    for parameter in module.parameters():
        parameter.data.zero_()
    assert all(np.array_equal(before[domain], now) for domain, now in run.predict("test"))


def test_figures_are_scikit_learns() -> None:
    run = train(data=odd_market(), rounds=3)
    part, names = run.data.test, run.data.schema.domains
    found, predicted = run.evaluate("test"), scored(run)
    offsets = part.offsets.tolist()
    labels = {d: part.labels[offsets[d] : offsets[d + 1]].numpy() for d in range(len(names))}
    aucs, sizes = [], []
    for domain, row in enumerate(found.domains):
        p, y = predicted[domain].astype(np.float64), labels[domain]
        assert (row.name, row.samples, row.positives) == (names[domain], len(y), int(y.sum()))
        if len(y):
            assert row.log_loss == pytest.approx(log_loss(y, p, labels=[0, 1]), abs=1e-9)
        else:
            assert row.log_loss is None
        if 0 < y.sum() < len(y):
            aucs.append(roc_auc_score(y, p))
            sizes.append(len(y))
            assert row.auc == pytest.approx(aucs[-1], abs=1e-9)
        else:
            assert row.auc is None
    every, truth = np.concatenate(list(predicted.values())).astype(np.float64), part.labels.numpy()
    assert found.mean_auc == pytest.approx(np.mean(aucs), abs=1e-9)
    assert found.weighted_auc == pytest.approx(np.average(aucs, weights=sizes), abs=1e-9)
    assert found.pooled_auc == pytest.approx(roc_auc_score(truth, every), abs=1e-9)
    assert found.log_loss == pytest.approx(log_loss(truth, every), abs=1e-9)
    assert found.user_gauc is not None
    assert sum(row.samples for row in found.domains) == len(part)
    assert sum(row.positives for row in found.domains) == int(part.labels.sum())


def test_a_summary_names_what_it_is_of(tmp_path: Path, data: Dataset) -> None:
    run = train_recipe(tmp_path / "run", data)
    told: list[tuple[str, int, int]] = []
    summary = run.summary("val", lambda what, done, total: told.append((what, done, total)))
    assert told[0] == ("scoring d0", 1, 4)
    assert told[-1] == ("scoring d3", 4, 4)
    about: dict[str, Any] = {
        "run": "run",
        "split": "val",
        "model": "mlp",
        "strategy": "mamdr",
        "seed": 4,
        "finetuned": False,
        "round": run.info["best_round"],
        "data": "tiny",
    }
    assert {key: summary[key] for key in about} == about
    assert summary["mean_auc"] == pytest.approx(run.info["best_value"])
    assert set(summary["domains"]) == set(data.schema.domains)


@pytest.mark.parametrize("ahead", [1, 9, 1 << 22])
def test_a_run_can_be_used_while_it_predicts(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mamdr.training.run._AHEAD", ahead)
    run = train(data=odd_market(), rounds=1)
    for (domain, one), (_, other) in zip(run.predict("test"), run.predict("test"), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, scored(run)[domain])
    assert next(run.predict("test"))[0] == 0  # and left in the middle
    assert list(scored(run)) == [0, 1, 2, 3, 4]


def test_an_unknown_split() -> None:
    with pytest.raises(ConfigError, match="no split is named 'tests'"):
        train(rounds=1).evaluate("tests")


def test_a_batch_that_cannot_be_scored_is_told_so() -> None:
    data = tiny_market()
    run = fit(TwoTables(), data, Alternate(), rounds=1, batch_size=16)
    batch, _ = next(data.test.batches([0], 4, None))
    with pytest.raises(DataError, match="the batch has no column 'item_id'"):
        run.score(0, {"user_id": batch["user_id"]})
    with pytest.raises(
        DataError, match="'item_id' of a batch holds ids from 17 to 17; expected ids from 0 to 16"
    ):
        run.score(0, batch | {"item_id": torch.full((4,), 17)})
