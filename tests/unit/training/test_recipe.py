"""Recipes: what they mean, and one line that helps for what does not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mamdr.engine import inner
from mamdr.errors import ConfigError
from mamdr.experiments import EXPERIMENTS, cells
from mamdr.models import MODELS
from mamdr.parameters import outer
from mamdr.strategies import MAMDR, STRATEGIES, Alternate, DomainNegotiation, Then
from mamdr.testing import tiny_market
from mamdr.training import Recipe, TrainOptions

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted((ROOT / "recipes").glob("*.toml"))
SMALL = '[model]\nname = "mlp"\n[strategy]\nname = "dn"\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(SMALL)
    return path


def load(path: Path, *overrides: str) -> Recipe:
    return Recipe.load(path, overrides)


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, *overrides)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.stem))
def test_a_shipped_recipe_says_all_that_it_means(path: Path) -> None:
    recipe = Recipe.load(path)
    tables = tomllib.loads(tomli_w.dumps(recipe.tables()))
    assert Recipe.parse(tables) == recipe
    assert Recipe.parse(tables).tables() == recipe.tables()
    assert_within(tomllib.loads(path.read_text(encoding="utf-8")), tables)


def assert_within(written: dict[str, Any], said: dict[str, Any]) -> None:
    for key, value in written.items():
        if isinstance(value, dict):
            assert_within(value, said[key])
        elif isinstance(value, list) and isinstance(value[0], dict):
            for one, other in zip(value, said[key], strict=True):
                assert_within(one, other)
        elif key != "preset":
            assert said[key] == value


def test_there_is_a_recipe_of_the_paper_for_each_strategy() -> None:
    for name in STRATEGIES:
        file = "mamdr-paper" if name == "mamdr" else f"mlp-{name}"
        recipe = Recipe.load(ROOT / "recipes" / f"{file}.toml")
        assert recipe.model == {
            "name": "mlp",
            "embedding": 128,
            "hidden": (256, 128, 64),
            "dropout": 0.5,
            "domain_embedding": True,
        }
        assert (recipe.walk.batch_size, recipe.walk.inner) == (1024, inner.Adam(lr=0.001))
        assert recipe.tables()["strategy"]["name"] == name


def test_the_recipe_mamdr_is_what_experiments_call_safe() -> None:
    recipe = Recipe.load(ROOT / "recipes" / "mamdr.toml")
    assert recipe.strategy == MAMDR.safe()
    (line,) = cells(EXPERIMENTS["safe"], 1, rows=["mamdr"])
    assert line.recipe.strategy == MAMDR.safe()
    for setting in ("choose", "shares", "shrink", "snapshots"):
        assert getattr(line.recipe.train, setting) == getattr(recipe.train, setting)
    assert (recipe.train.choose, recipe.train.shrink) == ("domain", True)
    assert 0.0 in recipe.train.shares


def test_defaults_are_spelt_out(recipe: Path) -> None:
    tables = load(recipe).tables()
    assert tables["train"] == {
        "rounds": 50,
        "patience": 3,
        "monitor": "mean_auc",
        "seed": 1,
        "jobs": 1,
        "engine": "auto",
        "device": "cpu",
        "conflict_every": 0,
        "shares": (),
        "shrink": False,
        "choose": "run",
        "mean_within": 0.0,
        "snapshots": 1,
        "penalty_from": 1.0,
        "penalty_rounds": 20,
    }
    assert tables["specific"] == {"parameters": "all"}
    assert tables["inner"] == {"name": "adam", "lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert tables["model"]["hidden"] == (256, 128, 64)
    assert set(tables["model"]) == {"name", *MODELS["mlp"][0].__dataclass_fields__}  # type: ignore[attr-defined]
    assert "data" not in tables


@pytest.mark.parametrize("name", ["alternate", "dn", "dr", "mamdr"])
def test_the_authors_preset_and_every_outer_optimizer_go_there_and_back(name: str, recipe: Path) -> None:
    made = load(recipe, f"strategy.name={name}", "strategy.preset=authors")
    assert getattr(made.strategy, "inner_state", None) == "kept"
    assert Recipe.parse(tomllib.loads(tomli_w.dumps(made.tables()))) == made
    if name in ("dn", "mamdr"):
        for rule in outer.RULES:
            made = load(
                recipe, f"strategy.name={name}", f"strategy.outer.name={rule}", "strategy.outer.lr=0.25"
            )
            assert made.strategy.outer == outer.RULES[rule](lr=0.25)  # type: ignore[attr-defined]
            assert Recipe.parse(tomllib.loads(tomli_w.dumps(made.tables()))) == made


def test_the_authors_preset_is_the_authors_mamdr(recipe: Path) -> None:
    made = load(recipe, "strategy.name=mamdr", "strategy.preset=authors", "strategy.num_helpers=5")
    assert made.strategy == MAMDR.authors(num_helpers=5)
    assert "strategy.preset" in refused(recipe, "strategy.preset=ours")


@pytest.mark.parametrize(
    ("override", "where", "value"),
    [
        ("train.rounds=7", ("train", "rounds"), 7),
        ("train.rounds = 7 ", ("train", "rounds"), 7),
        ("strategy.outer_lr=1e-2", ("strategy", "outer_lr"), 0.01),
        ("strategy.outer_lr=1", ("strategy", "outer_lr"), 1.0),
        ("strategy.shuffle=false", ("strategy", "shuffle"), False),
        ("train.monitor=pooled_auc", ("train", "monitor"), "pooled_auc"),
        ('train.monitor="pooled_auc"', ("train", "monitor"), "pooled_auc"),
        ("train.device=cuda:0", ("train", "device"), "cuda:0"),
        ("model.hidden=[8, 4]", ("model", "hidden"), (8, 4)),
        ("model.hidden=[]", ("model", "hidden"), ()),
        ("model.domain_embedding=false", ("model", "domain_embedding"), False),
        ("inner.name=sgd", ("inner", "name"), "sgd"),
        ("inner.lr=0.5", ("inner", "lr"), 0.5),
        ("walk.rows=sparse", ("walk", "rows"), "sparse"),
        ("data.name=amazon", ("data", "name"), "amazon"),
        ("specific.parameters=dense", ("specific", "parameters"), "dense"),
        ('specific.parameters=["hidden.*"]', ("specific", "parameters"), ("hidden.*",)),
        ("specific.rank=8", ("specific", "rank"), 8),
    ],
)
def test_set(override: str, where: tuple[str, str], value: Any, recipe: Path) -> None:
    table, key = where
    assert load(recipe, override).tables()[table][key] == value


def test_set_takes_nested_tables_and_the_last_word(recipe: Path) -> None:
    made = load(
        recipe, "strategy.outer.name=nesterov", "strategy.outer.momentum=0.5", "train.seed=1", "train.seed=2"
    )
    assert made.strategy == DomainNegotiation(outer=outer.Nesterov(momentum=0.5))
    assert made.train.seed == 2
    assert load(recipe, 'strategy.outer={name="adam", lr=0.5}').strategy == DomainNegotiation(
        outer=outer.Adam(lr=0.5)
    )


def test_set_counts_through_a_list_of_tables(recipe: Path) -> None:
    recipe.write_text(SMALL.replace('"dn"', '"then"') + '[[strategy.steps]]\nname = "alternate"\n' * 2)
    made = load(recipe, "strategy.steps.1.name=dn", "strategy.steps.1.outer.name=adam")
    assert made.strategy == Then(Alternate(), DomainNegotiation(outer=outer.Adam()))
    for wrong in ("strategy.steps.2.name=dn", "strategy.steps.one.name=dn", "strategy.steps.1=dn"):
        assert "is not a table" in refused(recipe, wrong)
    assert "unknown key strategy.steps.1.outer_rl" in refused(recipe, "strategy.steps.1.outer_rl=1")


@pytest.mark.parametrize("override", ["rounds=3", "train.rounds", "train.=3", ".rounds=3", "=", ""])
def test_set_of_another_form(override: str, recipe: Path) -> None:
    assert refused(recipe, override).startswith(
        f"--set {override}; expected table.key=value. For example --set"
    )


def test_set_into_what_is_no_table(recipe: Path) -> None:
    assert "name is not a table" in refused(recipe, "model.name.first=3")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategie.name=dn", "unknown table [strategie] in the recipe; .* Did you mean 'strategy'?"),
        ("strategy.name=mamrd", "unknown strategy 'mamrd'; .* Did you mean 'mamdr'?"),
        ("strategy.name=5", "the recipe has no strategy.name; expected a name"),
        ("strategy.outer_rl=0.5", "unknown key strategy.outer_rl; .* Did you mean 'outer_lr'?"),
        ("strategy.num_helpers=2", "unknown key strategy.num_helpers; "),
        ("strategy.outer_lr=-1", "strategy.outer_lr = -1; expected greater than or equal to 0"),
        ("strategy.outer_lr=inf", "strategy.outer_lr = inf; expected a finite number"),
        ("strategy.outer_lr=nan", "strategy.outer_lr = nan; expected "),
        ("strategy.outer_lr=fast", "strategy.outer_lr = 'fast'; expected a valid number"),
        ("strategy.outer_lr=true", "strategy.outer_lr = True; expected a number"),
        ("strategy.outer=adam", "strategy.outer.* = 'adam'; expected "),
        ("strategy.outer.name=adma", "unknown outer optimizer 'adma'; .* Did you mean 'adam'?"),
        ("strategy.outer.name=5", "unknown outer optimizer 5; "),
        ("strategy.outer.rate=5", "unknown key strategy.outer.rate; "),
        ("strategy.outer.lr=11", "strategy.outer.lr = 11; expected less than or equal to 10"),
        ("strategy.steps=0", "strategy.steps = 0; expected greater than or equal to 1"),
        ("strategy.preset=[]", "strategy.preset = []; expected 'paper' or 'authors'"),
        ("model.name=mpl", "unknown model 'mpl'; expected one of .* Did you mean '"),
        ("model.embeding=8", "unknown key model.embeding; .* Did you mean 'embedding'?"),
        ("model.embedding=0", "model.embedding = 0; expected greater than or equal to 1"),
        ("model.dropout=1", "model.dropout = 1; expected less than 1"),
        ("model.dropout=nan", "model.dropout = nan; expected "),
        ("model.hidden=8", "model.hidden = 8; expected a valid tuple"),
        ("model.hidden=[8, 0]", "model.hidden.1 = 0; expected greater than or equal to 1"),
        ("model=5", None),
        ("inner.name=adamw", "unknown inner optimizer 'adamw'; .* Did you mean 'adam'?"),
        ("inner.name=[]", "unknown inner optimizer []; "),
        ("inner.lr=0", "inner.lr = 0; expected greater than 0"),
        ("inner.momentum=0.9", "unknown key inner.momentum; "),
        ("walk.batch_size=0", "walk.batch_size = 0; expected greater than or equal to 1"),
        ("walk.batchsize=8", "unknown key walk.batchsize; .* Did you mean 'batch_size'?"),
        ("walk.inner=sgd", "unknown key walk.inner; expected a table [inner]"),
        ("walk.rows=some", "walk.rows = 'some'; expected 'auto', 'dense', 'lazy' or 'sparse'"),
        ("walk.embedding_l2=-1", "walk.embedding_l2 = -1; expected greater than or equal to 0"),
        ("train.rounds=0", "train.rounds = 0; expected greater than or equal to 1"),
        ("train.rounds=2.5", "train.rounds = 2.5; expected a valid integer"),
        ('train.rounds="3"', "train.rounds = '3'; expected a number"),
        ("train.seed=-1", "train.seed = -1; expected greater than or equal to 0"),
        ("train.patience=-1", "train.patience = -1; expected "),
        ("train.jobs=0", "train.jobs = 0; expected "),
        ("train.monitor=auc", "train.monitor = 'auc'; expected 'mean_auc', 'weighted_auc' or 'pooled_auc'"),
        ("train.epochs=3", "unknown key train.epochs; "),
        ("specific.rank=0", "specific.rank = 0; expected greater than or equal to 1"),
        ("specific.ranks=2", "unknown key specific.ranks; .* Did you mean 'rank'?"),
        ("specific.parameters=5", "specific.parameters.str = 5; expected a valid string"),
        ("specfic.rank=2", "unknown table [specfic] in the recipe; .* Did you mean 'specific'?"),
        ("data.path=x", "unknown key data.path; expected one of name"),
        ("data.name=5", "data.name = 5; expected a valid string"),
    ],
)
def test_what_does_not_fit(override: str, message: str | None, recipe: Path) -> None:
    said = refused(recipe, override)
    for part in (message or "expected table.key=value").split(".*"):
        assert part.strip() in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the recipe has no model.name"),
        ('[model]\nname = "mlp"\n', "the recipe has no strategy.name"),
        (SMALL.replace("mlp", ""), "unknown model ''"),
        ('model = "mlp"\n[strategy]\nname = "dn"\n', "model = 'mlp'; expected a table [model]"),
        (SMALL + "[[train]]\nrounds = 3\n", "train = [{'rounds': 3}]; expected a table [train]"),
        (SMALL + "[model]\n", "is not TOML: "),
        ("name = ", "is not TOML: "),
        ("\x00", "is not TOML: "),
        ("[model]\nname = \xff", "cannot read the recipe"),
    ],
)
def test_a_file_that_is_no_recipe(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(text.encode("latin-1"))
    assert message in refused(tmp_path / "recipe.toml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.toml").startswith(f"cannot read the recipe {tmp_path / 'none.toml'}; ")
    assert refused(tmp_path).startswith("cannot read the recipe ")


def test_a_recipe_for_one_data_set(recipe: Path) -> None:
    load(recipe).check_data(tiny_market())
    load(recipe, "data.name=tiny").check_data(tiny_market())
    load(recipe, "data.name=").check_data(tiny_market())
    with pytest.raises(ConfigError, match="the recipe is for the data set 'amazon', the folder holds 'tiny'"):
        load(recipe, "data.name=amazon").check_data(tiny_market())


def test_options_are_documented_and_none_is_missing() -> None:
    assert TrainOptions.__doc__ is not None
    for name in TrainOptions.__dataclass_fields__:
        assert f"\n        {name}: " in TrainOptions.__doc__
