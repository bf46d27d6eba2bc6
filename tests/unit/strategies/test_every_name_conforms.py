"""Every strategy that a recipe can name passes the conformance suite: names without a test class get one here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from mamdr.errors import ConfigError
from mamdr.strategies import STRATEGIES, build, describe
from mamdr.testing import StrategyConformance


def _classes(cls: type[StrategyConformance]) -> Iterator[type[StrategyConformance]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _classes(sub)


def _covered() -> set[str]:
    """Names whose strategies the test classes of this folder make."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            importlib.import_module(f"tests.unit.strategies.{path.stem}")
    names = set()
    for cls in _classes(StrategyConformance):
        try:
            names.add(describe(cls().strategy())["name"])
        except ConfigError:  # a strategy of a test's own
            continue
    return names


def _made(name: str) -> type[StrategyConformance]:
    """A test class of the strategy of this name, at its defaults."""
    return type(f"Test_{name}", (StrategyConformance,), {"strategy": lambda self: build(name, {})})


COVERED = _covered()
globals().update({f"Test_{name}": _made(name) for name in sorted(STRATEGIES.keys() - COVERED)})


def test_most_names_have_a_class_of_their_own() -> None:
    assert {"alternate", "dn", "dr", "mamdr", "separate", "finetune", "freeze", "then", "joint"} <= COVERED
