"""An engine by its name."""

from __future__ import annotations

import pytest

from mamdr.engine import Batched, Processes, Sequential, Session, Walker, WalkOptions, choose, trace
from mamdr.engine.choose import Engine
from mamdr.errors import ConfigError
from mamdr.testing import TwoTables, tiny_market

DATA = tiny_market((6, 4), numeric=True)


def walker() -> Walker:
    module = TwoTables()
    return Walker(Session(module, trace(module, DATA.schema), DATA, WalkOptions()).__enter__())


@pytest.mark.parametrize(
    ("engine", "jobs", "kind"),
    [
        ("auto", 1, Sequential),
        ("auto", 2, Processes),
        ("sequential", 1, Sequential),
        ("processes", 2, Processes),
        ("batched", 1, Batched),
    ],
)
def test_by_name(engine: Engine, jobs: int, kind: type) -> None:
    assert type(choose(walker(), engine, jobs)) is kind


def test_the_budget_is_in_megabytes() -> None:
    chosen = choose(walker(), "batched", budget_mb=3)
    assert isinstance(chosen, Batched)
    assert chosen.budget == 3 << 20


@pytest.mark.parametrize("engine", ["sequential", "batched"])
def test_jobs_are_for_processes(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="with 2 jobs"):
        choose(walker(), engine, 2)
