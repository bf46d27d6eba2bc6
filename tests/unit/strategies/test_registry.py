"""Strategies by name: typos are errors that suggest, presets are what FIDELITY says."""

from __future__ import annotations

import pytest

from mamdr.errors import ConfigError
from mamdr.parameters import outer
from mamdr.strategies import (
    MAMDR,
    STRATEGIES,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Freeze,
    Then,
    build,
    describe,
)


def test_names() -> None:
    assert isinstance(build("alternate", {}), Alternate)
    assert build("dn", {"outer_lr": 0.3}) == DomainNegotiation(outer_lr=0.3)
    assert build("dr", {"num_helpers": 5}) == DomainRegularization(num_helpers=5)
    assert build("mamdr", {}) == MAMDR()


def test_outer_optimizers_by_name() -> None:
    assert build("dn", {"outer": {"name": "adagrad", "lr": 0.5}}) == DomainNegotiation(
        outer=outer.Adagrad(lr=0.5)
    )
    assert build("mamdr", {"outer": {"lr": 0.5}}) == MAMDR(outer=outer.SGD(lr=0.5))


def test_authors_preset() -> None:
    assert build("mamdr", {"preset": "authors", "num_helpers": 5}) == MAMDR.authors(num_helpers=5)
    assert build("dn", {"preset": "authors"}) == DomainNegotiation(inner_state="kept")
    assert build("dr", {"preset": "authors", "start": "zero"}) == DomainRegularization(
        include_self=True, inner_state="kept", start="zero"
    )


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_described_and_built_again(name: str) -> None:
    strategy = build(name, {})
    table = describe(strategy)
    assert table.pop("name") == name
    assert build(name, table) == strategy


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mamrd", {}, "unknown strategy 'mamrd'; .*Did you mean 'mamdr'?"),
        ("mamdr", {"num_helper": 3}, "unknown key strategy.num_helper; .*Did you mean 'num_helpers'?"),
        (
            "mamdr",
            {"num_helpers": -1},
            "strategy.num_helpers = -1; expected greater than or equal to 0 or 'auto'",
        ),
        ("mamdr", {"num_helpers": "three"}, "strategy.num_helpers = 'three'; expected a valid integer"),
        ("mamdr", {"specific_lr": 1.5}, "strategy.specific_lr = 1.5; expected less than or equal to 1"),
        ("mamdr", {"start": "none"}, "strategy.start = 'none'; expected 'zero' or 'random'"),
        ("dn", {"outer_lr": float("nan")}, "strategy.outer_lr = nan; expected a finite number"),
        ("dn", {"steps": 0}, "strategy.steps.* = 0; expected greater than or equal to 1"),
        ("dn", {"preset": "papers"}, "strategy.preset = 'papers'; expected 'paper' or 'authors'"),
        ("dn", {"outer": {"name": "adm"}}, "unknown outer optimizer 'adm'; .*Did you mean 'adam'?"),
        ("dn", {"outer": {"name": "adam", "momentum": 0.9}}, "unknown key strategy.outer.momentum"),
        ("alternate", {"outer_lr": 0.5}, "strategy.outer_lr = 0.5; expected greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_one_line(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(name, settings)
    assert "\n" not in str(caught.value)


def test_a_strategy_without_a_name_cannot_be_described() -> None:
    with pytest.raises(ConfigError, match="has no name of its own"):
        describe(Mine())
    with pytest.raises(ConfigError, match="has no name of its own"):
        describe(Freeze(frozen=lambda name: name == "logit.bias"))


def test_strategies_within_strategies() -> None:
    steps = [
        {"name": "alternate"},
        {"name": "freeze", "frozen": ["item.*"], "of": {"name": "dr", "num_helpers": 2}},
    ]
    made = build("then", {"steps": steps})
    frozen = Freeze(DomainRegularization(num_helpers=2), frozen=("item.*",))
    assert made == Then(Alternate(), frozen)
    table = describe(made)
    assert table.pop("name") == "then"
    assert build("then", table) == made
    assert build("finetune", {"after": {"name": "then", "steps": steps}}) == Finetune(after=made)
    assert build("freeze", {"of": {"name": "then"}}) == Freeze(
        Then(DomainNegotiation(), DomainRegularization())
    )


def test_the_preset_goes_to_what_is_within() -> None:
    made = build("then", {"preset": "authors", "steps": [{"name": "dn"}, {"name": "dr", "preset": "paper"}]})
    assert made == Then(DomainNegotiation(inner_state="kept"), DomainRegularization())
    assert build("freeze", {"preset": "authors", "of": {"name": "dn"}}) == Freeze(
        DomainNegotiation(inner_state="kept")
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "then",
            {"steps": []},
            r"strategy.steps = \[\]; expected a list of strategies. .*\[\[strategy.steps\]\]",
        ),
        ("then", {"steps": "dn"}, "strategy.steps = 'dn'; expected a list of strategies"),
        ("then", {"step": [{"name": "dn"}]}, "unknown key strategy.step; .*Did you mean 'steps'?"),
        (
            "then",
            {"steps": [{"name": "dn"}, {"name": "drr"}]},
            "unknown strategy 'drr'; .*Did you mean 'dr'?",
        ),
        ("then", {"steps": [{"outer_lr": 1}]}, "strategy.steps.0 = .*; expected a table with a name"),
        (
            "then",
            {"steps": [{"name": "dn"}, {"name": "freeze", "of": {"name": "dr", "num_helper": 3}}]},
            "unknown key strategy.steps.1.of.num_helper; .*Did you mean 'num_helpers'?",
        ),
        (
            "finetune",
            {"after": {"name": "freeze", "of": {"name": "dn", "outer": {"name": "adm"}}}},
            "unknown outer optimizer 'adm'; .*Did you mean 'adam'?",
        ),
        ("freeze", {"of": "dn"}, "strategy.of = 'dn'; expected a table with a name"),
        ("freeze", {"frozn": ["item.*"]}, "unknown key strategy.frozn; .*Did you mean 'frozen'?"),
    ],
)
def test_what_does_not_fit_within(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(name, settings)
    assert "\n" not in str(caught.value)


class Mine(DomainNegotiation):
    """A strategy of the user's own."""
