"""Typed settings: every component's options are one frozen class, and an unknown key is an error.

`component` makes a dataclass whose fields are checked whenever one is made, in Python as from a recipe; `parse`
makes one from a recipe's table and turns what does not fit into one line; `lookup` finds a name in a table of names.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, dataclass_transform

import pydantic
from pydantic import ConfigDict

from mamdr.errors import ConfigError

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def component(cls: type[T]) -> type[T]:
    """A frozen dataclass that checks its fields' types and ranges and takes no unknown ones."""
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True, validate_default=True)
    made: type[T] = pydantic.dataclasses.dataclass(frozen=True, config=settings)(cls)  # type: ignore[assignment]
    return made


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message: the nearest known name where one is near, else all of them.

    >>> nearest("mamrd", ["mamdr", "alternate"])
    "Did you mean 'mamdr'?"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Choose one of {', '.join(known)}"


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """The entry `name` of a table of names; a typo is an error that suggests the nearest."""
    if not isinstance(name, str) or name not in table:
        raise ConfigError(
            f"unknown {what} {name!r}", f"one of {', '.join(sorted(table))}", nearest(str(name), table)
        )
    return table[name]


def settings_of(cls: Any) -> list[str]:
    """Names of the settings of a `component`, or of one that was made."""
    return [field.name for field in dataclasses.fields(cls)]


def check_keys(values: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise ConfigError for a key that is not known, with the nearest one that is."""
    known = sorted(known)
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {where}.{key}", f"one of {', '.join(known)}", nearest(key, known))


def parse(cls: Callable[..., T], values: Mapping[str, Any], where: str) -> T:
    """Make a `component` from a recipe's table.

    Args:
        cls: the component.
        values: its settings by name.
        where: the table's name in the recipe, for messages.

    Raises:
        ConfigError: for an unknown key, a wrong type or a value out of range.
    """
    check_keys(values, settings_of(cls) if dataclasses.is_dataclass(cls) else values, where)
    try:
        made = cls(**values)
    except pydantic.ValidationError as error:
        first, *others = error.errors(include_url=False)
        path = _path(where, first)
        words = [
            other for other in others if other["type"] == "literal_error" and _path(where, other) == path
        ]
        expected = " or ".join(_expected(one) for one in (first, *words))
        raise ConfigError(
            f"{path} = {first.get('input')!r}", expected, "Correct the recipe or the option"
        ) from error
    for (
        key,
        value,
    ) in values.items():  # pydantic takes true and "3" for numbers: more likely a slip than meant
        if isinstance(value, (bool, str)) and not isinstance(getattr(made, key), type(value)):
            raise ConfigError(f"{where}.{key} = {value!r}", "a number", "Correct the recipe or the option")
    return made


def _path(where: str, error: Mapping[str, Any]) -> str:
    """The key that an error is about. A type's name among the keys is how pydantic says which of several it tried."""
    parts = (str(part) for part in error["loc"])
    return ".".join(
        [where, *(part for part in parts if not {"[", "("} & set(part) and part != "constrained-int")]
    )


def _expected(error: Mapping[str, Any]) -> str:
    message: str = error["msg"]
    return message.removeprefix("Input should be ").removeprefix("Value error, ")
