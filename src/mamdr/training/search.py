"""What a search may choose from: the `[search]` table of a recipe.

[search]
"strategy.outer_lr" = { low = 0.05, high = 1.0, log = true }
"strategy.num_helpers" = [1, 2, 3, 5]
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from mamdr.config import component, parse
from mamdr.errors import ConfigError


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    values: tuple[Any, ...]


@component
class Range:
    """A number from low to high; whole when both ends are.

    Args:
        low, high: the ends, both included, low < high.
        log: draw its logarithm evenly, for rates; low must be above 0.
    """

    low: Annotated[int, Field(strict=True)] | Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[int, Field(strict=True)] | Annotated[float, Field(allow_inf_nan=False)]
    log: bool = False

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Choice = OneOf | Range


def said(what: Choice) -> Any:
    """The line of `[search]` that a choice was read from."""
    return list(what.values) if isinstance(what, OneOf) else asdict(what)


def choice(key: str, line: object) -> Choice:
    """What one line of `[search]` says.

    Raises:
        ConfigError: a key that is no "table.key", no values, or ends that are none.

    >>> choice("strategy.num_helpers", [1, 3])
    OneOf(values=(1, 3))
    >>> choice("inner.lr", {"low": 1e-4, "high": 1e-2, "log": True}).whole
    False
    """
    where = f'search."{key}"'
    if len(key.split(".")) < 2 or key.split(".")[0] in ("data", "search"):
        raise ConfigError(f"{where}", 'a setting such as "strategy.outer_lr"', "Name the table and the key")
    if isinstance(line, list) and line:
        return OneOf(tuple(line))
    if not isinstance(line, dict) or not {"low", "high"} <= line.keys():
        raise ConfigError(
            f"{where} = {line!r}", "a list of values, or { low = ..., high = ... }", "Correct the recipe"
        )
    made = parse(Range, line, where)
    if not made.low < made.high or (made.log and made.low <= 0):
        ends = "0 < low < high for a logarithm" if made.log else "low < high"
        raise ConfigError(f"{where} = {line!r}", ends, "Correct the recipe")
    return made
