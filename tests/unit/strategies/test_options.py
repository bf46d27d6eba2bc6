"""Every option of the paper, and of the authors' code, can be said in a recipe, and does something."""

from __future__ import annotations

from typing import Any

import pytest

from mamdr.engine import trace
from mamdr.parameters import LocalStore
from mamdr.strategies import DomainRegularization, State, Strategy, Then
from mamdr.testing import TwoTables, parameters_of, same_bits, tiny_market, train
from mamdr.testing.lab import at_work, problem_of
from mamdr.training import Recipe

DATA = tiny_market((40, 26, 9, 12))


def _recipe(name: str, strategy: dict[str, Any], **tables: Any) -> Recipe:
    return Recipe.parse({"model": {"name": "mlp"}, "strategy": {"name": name, **strategy}, **tables})


OPTIONS = [
    (1, "a cap on steps", "dn", {"steps": 2}),
    (1, "a cap on steps", "mamdr", {"steps": 2}),
    (1, "a cap on the helper's steps", "mamdr", {"helper_steps": 1}),
    (1, "a cap on the domain's own steps", "dr", {"own_steps": 1}),
    (2, "a random start", "mamdr", {"start": "random"}),
    (2, "a random start", "dr", {"start": "random"}),
    (3, "one optimizer throughout", "dn", {"inner_state": "kept"}),
    (3, "one optimizer throughout", "mamdr", {"inner_state": "kept"}),
    (3, "a fresh optimizer for a baseline", "alternate", {"inner_state": "fresh"}),
    (5, "the domain as its own helper", "mamdr", {"include_self": True}),
    (5, "the number of helpers", "mamdr", {"num_helpers": 1}),
    (5, "the number of helpers", "dr", {"num_helpers": 0}),
    (6, "the order of domains", "dn", {"shuffle": False}),
    (6, "the order of domains", "alternate", {"shuffle": False}),
    (6, "the order of domains", "mamdr", {"shuffle": False}),
    (6, "the order of domains with one optimizer", "dr", {"inner_state": "kept", "shuffle": False}),
    (7, "two rates", "mamdr", {"outer_lr": 0.3}),
    (7, "two rates", "mamdr", {"specific_lr": 0.3}),
    (8, "fine-tuning afterwards", "finetune", {"after": {"name": "mamdr"}, "passes": 2}),
    (0, "another outer optimizer", "dn", {"outer": {"name": "adagrad"}}),
    (0, "another outer optimizer", "mamdr", {"outer": {"name": "nesterov", "lr": 0.3}}),
    (0, "own rows alone", "dr", {"rows": "own"}),
    (0, "own rows alone", "mamdr", {"rows": "own"}),
    (3, "an optimizer kept for the shared parameters", "mamdr", {"inner_state": "shared"}),
    (0, "a mean of rounds", "mamdr", {"averaging": 0.5}),
    (0, "a mean of rounds", "dn", {"averaging": 0.5}),
    (0, "a mean of rounds", "alternate", {"averaging": 0.5}),
    (0, "between the mean and a round's end", "mamdr", {"averaging": 0.5, "lead": 0.5}),
    (0, "between the mean and a round's end", "joint", {"averaging": 0.5, "lead": 0.5}),
    (0, "the authors' choices", "mamdr", {"preset": "authors"}),
]
"""FIDELITY's row (0: section IV), what it is about, and where a recipe says it."""


@pytest.mark.parametrize(("row", "what", "name", "settings"), OPTIONS)
def test_an_option_is_reached_from_a_recipe_and_makes_a_difference(
    row: int, what: str, name: str, settings: dict[str, Any]
) -> None:
    needed = {"shuffle": "inner_state", "lead": "averaging"}
    plain = {of: settings[of] for option, of in needed.items() if {option, of} == settings.keys()}
    before = _recipe(name, plain).strategy
    chosen = _recipe(name, settings)
    assert chosen.strategy != before
    assert Recipe.parse(chosen.tables()) == chosen
    one, other = (train(TwoTables(), DATA, strategy, 2) for strategy in (before, chosen.strategy))
    assert not same_bits(one, other)


def _moved(strategy: Strategy, recipe: Recipe) -> tuple[bool, set[int]]:
    """Whether θ_S moves, and which domains are served by something else."""
    space = recipe.specific.applied(trace(TwoTables(), DATA.schema))
    start, end = (train(TwoTables(), DATA, strategy, rounds, space=space) for rounds in (0, 2))
    first, last = parameters_of(start.shared), parameters_of(end.shared)
    served = {}
    for domain in range(4):
        own = parameters_of(strategy.params_for(end, domain))
        served[domain] = any(not (own[name] == last[name]).all() for name in last)
    return any(not (first[name] == last[name]).all() for name in first), {d for d in served if served[d]}


@pytest.mark.parametrize(
    ("name", "settings", "shared", "specific"),
    [
        ("mamdr", {}, True, True),
        ("then", {"steps": [{"name": "dn"}, {"name": "dr"}]}, True, True),
        ("then", {"steps": [{"name": "alternate"}, {"name": "dr"}]}, True, True),
        ("dr", {}, False, True),
        ("dn", {}, True, False),
        ("alternate", {}, True, False),
    ],
    ids=["MAMDR", "DN, DR", "w/o DN", "DR alone", "w/o DR", "w/o DN+DR"],
)
def test_the_papers_ablations_are_recipes(
    name: str, settings: dict[str, Any], shared: bool, specific: bool
) -> None:
    recipe = _recipe(name, settings)
    assert _moved(recipe.strategy, recipe) == (shared, {0, 1, 2, 3} if specific else set())


def test_mamdr_is_dn_and_then_dr() -> None:
    pair = _recipe("then", {"steps": [{"name": "dn", "steps": 2}, {"name": "dr", "num_helpers": 2}]})
    both = _recipe("mamdr", {"steps": 2, "num_helpers": 2})
    assert same_bits(*(train(TwoTables(dropout=0.3), DATA, r.strategy, 3) for r in (pair, both)))


def test_the_order_of_domains_is_that_of_the_data_when_it_is_not_drawn() -> None:
    strategy = _recipe("mamdr", {"inner_state": "kept", "shuffle": False}).strategy
    domains = []

    def run(walks: Any) -> Any:
        domains.append([leg.domains[-1] for leg in walks[0].legs])
        raise InterruptedError

    with at_work(TwoTables(), DATA) as (session, _):
        state = State(LocalStore.of(session.module, session.space), seed=1)
        for part in strategy.parts.parts:  # type: ignore[attr-defined]
            with pytest.raises(InterruptedError):
                part.round(state, problem_of(session), run)
    assert domains[0] == [0, 1, 2, 3]  # Domain Negotiation's walk
    assert domains[1][1] == 0  # Domain Regularization's first


def test_a_recipe_says_what_a_domain_may_keep_for_any_strategy_with_specific_parts() -> None:
    tables = {"specific": {"parameters": ["hidden.*"], "rank": 1}}
    for name in ("dr", "mamdr", "separate", "finetune"):
        recipe = _recipe(name, {}, **tables)
        space = recipe.specific.applied(trace(TwoTables(), DATA.schema))
        state = train(TwoTables(), DATA, recipe.strategy, 1, space=space)
        parts = state.tuned if name == "finetune" else state.specific
        assert {len(part.flat) for part in parts.values()} == {6 + 8 + 6}


def test_then_holds_what_it_was_given() -> None:
    made = _recipe("then", {"steps": [{"name": "dr", "num_helpers": 2}]}).strategy
    assert isinstance(made, Then)
    assert made.parts == (DomainRegularization(num_helpers=2),)
