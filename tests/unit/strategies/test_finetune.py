"""Fine-tuning is laid over another strategy and never reaches into it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import mamdr
from mamdr.engine import trace
from mamdr.errors import ConfigError
from mamdr.parameters import outer
from mamdr.strategies import MAMDR, Alternate, DomainNegotiation, Finetune, State, Strategy, build, describe
from mamdr.testing import (
    StrategyConformance,
    TwoTables,
    parameters_of,
    same_bits,
    scores,
    tiny_market,
    train,
)
from mamdr.training import Recipe, checkpoint

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
DATA = tiny_market()
MODULE = TwoTables(dropout=0.3)


class TestFinetuneAlternate(StrategyConformance):
    def strategy(self) -> Strategy:
        return Finetune()


class TestFinetuneMAMDR(StrategyConformance):
    def strategy(self) -> Strategy:
        return Finetune(after=MAMDR(num_helpers=1), passes=2, steps=2, share=0.5)


def _without_tuning(state: State) -> State:
    losses = {part: loss for part, loss in state.losses.items() if part != "tuned"}
    return dataclasses.replace(state, tuned={}, losses=losses, samples=0)


@pytest.mark.parametrize("after", [Alternate(), MAMDR(num_helpers=2)], ids=["alternate", "mamdr"])
def test_what_is_tuned_never_reaches_the_strategy_before_it(after: Strategy) -> None:
    tuned, plain = train(MODULE, DATA, Finetune(after=after), 3), train(MODULE, DATA, after, 3)
    assert same_bits(_without_tuning(tuned), dataclasses.replace(plain, samples=0))
    assert tuned.samples == plain.samples + 3 * 76


def test_tuned_parts_are_made_from_nothing_each_round() -> None:
    strategy = Finetune(after=DomainNegotiation(outer_lr=0.5))
    spoilt = train(MODULE, DATA, strategy, 1)
    for point in spoilt.tuned.values():
        point.flat.fill_(9.0)
    assert same_bits(train(MODULE, DATA, strategy, 1, state=spoilt), train(MODULE, DATA, strategy, 2))


def test_keeping_none_of_it_serves_as_the_strategy_before_it() -> None:
    after = MAMDR(num_helpers=1)
    strategy = Finetune(after=after, share=0.0)
    tuned, plain = train(MODULE, DATA, strategy), train(MODULE, DATA, after)
    for domain in range(4):
        mine, its = (
            scores(MODULE, DATA, s, state, domain) for s, state in ((strategy, tuned), (after, plain))
        )
        assert torch.equal(mine, its)


def test_a_part_holds_the_domains_own_rows_and_touches_no_other_domain() -> None:
    strategy = Finetune()
    state = train(MODULE, DATA, strategy)
    for domain, point in state.tuned.items():
        for ids, column in zip(point.ids, ("user_id", "item_id"), strict=True):
            assert ids.tolist() == DATA.train.unique_ids(domain, column).tolist()
    before = [scores(MODULE, DATA, strategy, state, domain) for domain in range(4)]
    state.tuned[1].flat.add_(3.0)
    after = [scores(MODULE, DATA, strategy, state, domain) for domain in range(4)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True, True]


def test_only_what_may_be_specific_is_tuned() -> None:
    space = trace(MODULE, DATA.schema, specific=lambda name: name.startswith("logit"))
    state = train(MODULE, DATA, Finetune(), space=space)
    for point in state.tuned.values():
        assert {name for name, value in parameters_of(point).items() if value.any()} == {
            "logit.weight",
            "logit.bias",
        }


def test_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    strategy = Finetune(after=MAMDR(num_helpers=1))
    first = train(MODULE, DATA, strategy, 1)
    checkpoint.save(tmp_path / "one", first, {})
    state, _ = checkpoint.load(tmp_path / "one", first.space)
    assert same_bits(state, first)
    assert same_bits(train(MODULE, DATA, strategy, 2, state=state), train(MODULE, DATA, strategy, 3))


def test_a_checkpoint_of_before_fine_tuning_has_no_tuned_parts(tmp_path: Path) -> None:
    first = train(MODULE, DATA, Alternate(), 1)
    checkpoint.save(tmp_path / "one", first, {})
    path = tmp_path / "one" / "meta.json"
    written = json.loads(path.read_text())
    del written["content"]["tuned"]
    written["sha256"] = checkpoint._digest(written["content"])
    path.write_text(json.dumps(written))
    assert same_bits(checkpoint.load(tmp_path / "one", first.space)[0], first)


def test_a_run_says_that_it_fine_tuned_and_is_opened_again(tmp_path: Path) -> None:
    strategy = Finetune(after=DomainNegotiation(outer=outer.Adagrad(lr=0.01)), steps=2)
    fitted = mamdr.fit(MODULE, DATA, strategy, rounds=2, batch_size=8, folder=tmp_path / "run")
    again = mamdr.Run.open(tmp_path / "run", module=TwoTables(), data=DATA, strategy=strategy)
    assert again.summary()["finetuned"] is True
    assert same_bits(fitted.state, again.state)
    assert fitted.evaluate("test").aucs == again.evaluate("test").aucs


def test_built_from_a_table_within_a_table() -> None:
    strategy = Finetune(after=MAMDR(num_helpers=2, outer=outer.Nesterov(lr=0.5)), passes=3, share=0.5)
    table = describe(strategy)
    assert table["after"]["name"] == "mamdr"
    assert table["after"]["outer"] == {"name": "nesterov", "lr": 0.5, "momentum": 0.9}
    assert build(table.pop("name"), table) == strategy
    recipe = Recipe.load(RECIPES / "mlp-finetune.toml", ["strategy.after.name=dn", "strategy.steps=5"])
    assert recipe.strategy == Finetune(after=DomainNegotiation(), steps=5)
    assert Recipe.parse(recipe.tables()) == recipe


def test_the_preset_is_that_of_the_strategy_before_it() -> None:
    assert build("finetune", {}) == Finetune(after=Alternate())
    after = {"name": "mamdr", "num_helpers": 2}
    assert build("finetune", {"preset": "authors", "after": after}) == Finetune(after=MAMDR.authors(2))
    paper = {**after, "preset": "paper"}
    assert build("finetune", {"preset": "authors", "after": paper}) == Finetune(after=MAMDR(num_helpers=2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"after": "alternate"}, "strategy.after = 'alternate'; expected a table with a name"),
        ({"after": {"outer_lr": 1.0}}, "strategy.after = .*; expected a table with a name"),
        ({"after": {"name": "mamrd"}}, "unknown strategy 'mamrd'; .*Did you mean 'mamdr'?"),
        ({"after": {"name": "dn", "steps": 0}}, "strategy.after.steps.* = 0; expected greater than"),
        ({"after": {"name": "dn", "outer": {"name": "sgd", "l": 1}}}, "unknown key strategy.after.outer.l"),
        ({"after": {"name": "finetune"}}, "strategy.after fine-tunes already"),
        ({"passes": 0}, "strategy.passes = 0; expected greater than or equal to 1"),
        ({"share": 1.5}, "strategy.share = 1.5; expected less than or equal to 1"),
        ({"after": {"name": "dn", "preset": "us"}}, "strategy.after.preset = 'us'; expected 'paper' or"),
    ],
)
def test_what_does_not_fit_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build("finetune", settings)
    assert "\n" not in str(caught.value)
