"""A bar for long work on a terminal, and silence elsewhere."""

from __future__ import annotations

import pytest

from mamdr.cli import progress
from mamdr.cli.progress import progress_bar


def work() -> None:
    with progress_bar() as told:
        for done in range(3):
            told("counting sheep", done, 3)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "100")):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("patience", [0.0, 100.0])
def test_nothing_is_written_where_there_is_no_terminal(
    patience: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", patience)
    work()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_long_work_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    work()
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting sheep" in err
    assert "2/3" in err


@pytest.mark.usefixtures("terminal")
def test_short_work_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    work()
    assert capsys.readouterr() == ("", "")


def test_a_failure_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), progress_bar():
        raise ValueError("x")
    assert capsys.readouterr() == ("", "")
