"""One tree of errors, each one line, each with its exit code."""

from __future__ import annotations

import pickle

import pytest

from mamdr import errors
from mamdr.errors import CheckpointError, ConfigError, DataError, MamdrError, ModelError, TrainingError

ALL = [MamdrError, DataError, ConfigError, ModelError, TrainingError, CheckpointError]


@pytest.mark.parametrize("kind", ALL)
def test_the_message_has_three_parts_in_one_line(kind: type[MamdrError]) -> None:
    error = kind("column 'a\n b' is missing", "columns  a, b", "Rename it.")
    assert str(error) == "column 'a b' is missing; expected columns a, b. Rename it."
    assert (error.found, error.expected, error.action) == (
        "column 'a\n b' is missing",
        "columns  a, b",
        "Rename it.",
    )


@pytest.mark.parametrize("kind", ALL)
def test_goes_through_a_pipe(kind: type[MamdrError]) -> None:
    error = kind("found", "expected", "action")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert str(back) == str(error)


def test_exit_codes() -> None:
    assert {kind.__name__: kind.exit_code for kind in ALL} == {
        "MamdrError": 1,
        "DataError": 1,
        "ConfigError": 2,
        "ModelError": 1,
        "TrainingError": 1,
        "CheckpointError": 1,
    }


def test_the_tree_is_drawn() -> None:
    assert errors.__doc__ is not None
    for kind in ALL:
        assert issubclass(kind, MamdrError)
        assert kind.__name__ in errors.__doc__
        assert kind.__doc__
