"""Settings are checked wherever they come from, and what does not fit is one line that helps."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pydantic
import pytest
from pydantic import Field

from mamdr.config import component, lookup, nearest, parse
from mamdr.errors import ConfigError


@component
class Engine:
    """Something with settings."""

    size: Annotated[int, Field(ge=1)]
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    names: tuple[str, ...] = ()


def test_parse_makes_the_component() -> None:
    assert parse(Engine, {"size": 3, "names": ["a"]}, "engine") == Engine(size=3, names=("a",))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"size": 1, "rat": 1},
            "unknown key engine.rat; expected one of names, rate, size. Did you mean 'rate'?",
        ),
        ({"size": 1, "zzz": 1}, "unknown key engine.zzz; .*Choose one of names, rate, size"),
        ({"size": "many"}, "engine.size = 'many'; expected a valid integer"),
        ({"size": 1.5}, "engine.size = 1.5; expected a valid integer"),
        ({"size": 0}, "engine.size = 0; expected greater than or equal to 1"),
        ({"size": 1, "rate": float("inf")}, "engine.rate = inf; expected a finite number"),
        ({"size": 1, "names": [1]}, "engine.names.0 = 1; expected a valid string"),
        ({}, "engine.size.*[Rr]equired"),
    ],
)
def test_what_does_not_fit(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(Engine, values, "engine")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_components_are_frozen_and_check_themselves() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Engine(size=1).size = 2  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        Engine(size=0)
    with pytest.raises(pydantic.ValidationError):
        Engine(size=1, other=2)  # type: ignore[call-arg]


def test_lookup_suggests() -> None:
    table = {"adam": 1, "sgd": 2}
    assert lookup(table, "sgd", "optimizer") == 2
    with pytest.raises(
        ConfigError, match=r"unknown optimizer 'adma'; expected one of adam, sgd. Did you mean 'adam'?"
    ):
        lookup(table, "adma", "optimizer")
    assert nearest("qqq", table) == "Choose one of adam, sgd"
