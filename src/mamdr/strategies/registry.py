"""Strategies by the name that a recipe uses."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from mamdr.combiners import COMBINERS
from mamdr.config import check_keys, lookup, parse, settings_of
from mamdr.errors import ConfigError
from mamdr.parameters import outer
from mamdr.strategies.combined import Combined
from mamdr.strategies.finetune import Finetune
from mamdr.strategies.freeze import Freeze
from mamdr.strategies.joint import Joint
from mamdr.strategies.maml import MAML
from mamdr.strategies.mldg import MLDG
from mamdr.strategies.negotiation import Alternate, DomainNegotiation
from mamdr.strategies.protocol import Strategy
from mamdr.strategies.regularization import DomainRegularization
from mamdr.strategies.reptile import Reptile
from mamdr.strategies.separate import Separate
from mamdr.strategies.then import MAMDR, Then

_WALKED = ("inner_state", "steps")
"""What the table of a combiner says of `Combined` itself."""


def combined(name: str, where: str = "strategy", **settings: Any) -> Combined:
    """`Combined` with the combiner of this name; the settings of both lie side by side."""
    make = COMBINERS[name]
    check_keys(settings, [*_WALKED, *settings_of(make)], where)
    walked = {key: settings.pop(key) for key in _WALKED if key in settings}
    return parse(Combined, {"combiner": parse(make, settings, where), **walked}, where)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    **{name: functools.partial(combined, name) for name in COMBINERS},
    "alternate": Alternate,
    "dn": DomainNegotiation,
    "dr": DomainRegularization,
    "finetune": Finetune,
    "freeze": Freeze,
    "joint": Joint,
    "mamdr": MAMDR,
    "maml": MAML,
    "mldg": MLDG,
    "reptile": Reptile,
    "separate": Separate,
    "then": Then,
}

_WITHIN = {"finetune": "after", "freeze": "of"}
"""Strategies that hold another one, and the key under which they do."""

_STEPS = ({"name": "dn"}, {"name": "dr"})
"""What `then` takes by default: the paper's pair."""

_AUTHORS: dict[str, dict[str, Any]] = {
    "alternate": {"inner_state": "kept"},
    "dn": {"inner_state": "kept"},
    "dr": {"inner_state": "kept", "include_self": True, "start": "random"},
    "joint": {"inner_state": "kept"},
    "mamdr": {"inner_state": "kept", "include_self": True, "start": "random"},
    "maml": {"inner_state": "kept", "share": 0.2},
    "mldg": {"inner_state": "kept", "order": 1},
    "reptile": {"inner_state": "kept"},
    "separate": {"inner_state": "kept"},
}


def build(name: str, settings: Mapping[str, Any], where: str = "strategy") -> Strategy:
    """The strategy that a recipe's `[strategy]` table describes.

    Args:
        name: a key of `STRATEGIES`.
        settings: its fields; `outer` may be a table with a `name` of its own ("sgd", "adagrad", "adam", "nesterov");
            `preset = "authors"` starts from the authors' choices (kept optimizer, own helper, random start); `after`
            (finetune) and `of` (freeze) are tables of another strategy, with a `name` of its own, `steps` (then) is a
            list of them, and they take over the preset.
        where: the table's name in the recipe, for messages.

    Raises:
        ConfigError: an unknown name or key, or a value out of range.

    >>> build("mamdr", {"num_helpers": 2}).num_helpers
    2
    """
    make = lookup(STRATEGIES, name, "strategy")
    values = dict(settings)
    preset = values.pop("preset", "paper")
    if preset not in ("paper", "authors"):
        raise ConfigError(f"{where}.preset = {preset!r}", "'paper' or 'authors'", "Correct the recipe")
    if preset == "authors":
        values = _AUTHORS.get(name, {}) | values
    if isinstance(values.get("outer"), Mapping):
        rule = dict(values["outer"])
        kind = rule.pop("name", "sgd")
        values["outer"] = parse(lookup(outer.RULES, kind, "outer optimizer"), rule, f"{where}.outer")
    if name == "then":
        check_keys(values, ["steps"], where)
        return Then(*_steps(values.get("steps", _STEPS), preset, where))
    if name in _WITHIN:
        key = _WITHIN[name]
        values[key] = _inside(values.get(key, {"name": "alternate"}), preset, f"{where}.{key}")
    if name in COMBINERS:
        return combined(name, where, **values)
    return parse(make, values, where)


def _inside(table: object, preset: str, where: str) -> Strategy:
    """The strategy of a table within a strategy's table, whose preset it takes over where it says none."""
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise ConfigError(f"{where} = {table!r}", "a table with a name", f'Add name = "..." under [{where}]')
    settings = {"preset": preset, **table}
    return build(settings.pop("name"), settings, where)


def _steps(steps: object, preset: str, where: str) -> list[Strategy]:
    """The strategies of `then`."""
    if not isinstance(steps, Sequence) or isinstance(steps, str) or not steps:
        raise ConfigError(
            f"{where}.steps = {steps!r}", "a list of strategies", f"Write a table [[{where}.steps]] for each"
        )
    return [_inside(step, preset, f"{where}.steps.{number}") for number, step in enumerate(steps)]


def describe(strategy: Strategy) -> dict[str, Any]:
    """The `[strategy]` table that `build` makes this strategy of.

    Raises:
        ConfigError: a strategy that no name stands for: an outside author's, or a `Freeze` by a predicate.

    >>> describe(build("dn", {"outer_lr": 0.5}))["outer_lr"]
    0.5
    """
    if isinstance(strategy, Combined):
        return _describe_combined(strategy)
    if isinstance(strategy, Freeze) and callable(strategy.frozen):
        raise _nameless(strategy, STRATEGIES)
    name = _name(STRATEGIES, strategy)
    if isinstance(strategy, Then):
        return {"name": name, "steps": [describe(part) for part in strategy.parts]}
    rule = getattr(strategy, "outer", None)
    values = {"name": name, **dataclasses.asdict(cast(Any, strategy))}
    if name in _WITHIN:
        values[_WITHIN[name]] = describe(getattr(strategy, _WITHIN[name]))
    if rule is not None:
        values["outer"] = {"name": _name(outer.RULES, rule), **dataclasses.asdict(rule)}
    return {key: value for key, value in values.items() if value is not None}


def _describe_combined(strategy: Combined) -> dict[str, Any]:
    walked = {key: getattr(strategy, key) for key in _WALKED}
    values = {**dataclasses.asdict(cast(Any, strategy.combiner)), **walked}
    named = {"name": _name(COMBINERS, strategy.combiner)}
    return named | {key: value for key, value in values.items() if value is not None}


def _name(table: Mapping[str, object], made: object) -> str:
    """The name under which a table makes things of this kind."""
    for name, make in table.items():
        if type(made) is make:
            return name
    raise _nameless(made, table)


def _nameless(made: object, table: Mapping[str, object]) -> ConfigError:
    return ConfigError(f"{made!r} has no name of its own", f"one of {', '.join(table)}", "Register it")
