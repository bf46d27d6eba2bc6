"""What a package offers late is there when it is asked for, and costs nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mamdr
import mamdr.data


def _alone(code: str) -> str:
    """What a process of its own prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_training_on_arrays_needs_no_tables() -> None:
    assert _alone("import mamdr, sys; print('polars' in sys.modules)") == "False"


@pytest.mark.parametrize("package", [mamdr, mamdr.data])
def test_every_name_that_is_offered_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None


@pytest.mark.parametrize("first", ["", "import mamdr.data.market, mamdr.data.building; "])
def test_a_name_is_the_same_whatever_was_imported_before(first: str) -> None:
    code = "import mamdr; print(mamdr.data.build.__module__, mamdr.synthetic_market.__module__)"
    assert _alone(first + code) == "mamdr.data.building mamdr.data.market"


def test_a_name_that_is_not_offered_is_told() -> None:
    with pytest.raises(AttributeError, match=r"module 'mamdr\.data' has no attribute 'nothing'"):
        _ = mamdr.data.nothing  # type: ignore[attr-defined]
