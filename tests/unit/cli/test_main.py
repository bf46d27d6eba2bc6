"""The frame of the command line: exit codes, one line for an error, help with an example."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import mamdr
from mamdr.cli import app, main
from mamdr.errors import CheckpointError, ConfigError, MamdrError

COMMANDS = [
    "train",
    "evaluate",
    "report",
    "conflict",
    "experiment",
    "tune",
    "models",
    "cluster train",
    *("publish", "versions", "promote", "rollback", "serve", "keys", "events", "domain add"),
    *(f"store {name}" for name in ("build", "update", "compact", "export", "describe")),
    *(f"data {name}" for name in ("build", "import", "describe", "features", "synthetic")),
]


def every_command(group: typer.core.TyperGroup, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found += every_command(command, f"{prefix}{name} ")
        else:
            found.append(prefix + name)
    return found


def test_these_are_all_commands() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert sorted(every_command(group)) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert "Example:" in said
    assert said.split("Example:")[1].strip().startswith(f"mamdr {command} ")


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"mamdr {mamdr.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["train"],
        ["train", "r.toml"],
        ["evaluate"],
        ["evaluate", "r", "--fast"],
        ["report"],
        ["data", "make"],
    ],
)
def test_wrong_use_exits_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def failing(error: BaseException) -> Callable[..., None]:
    def open_run(*args: object, **kwargs: object) -> None:
        raise error

    return open_run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CheckpointError("no run", "a run", "Train"), 1, "mamdr: no run; expected a run. Train.\n"),
        (ConfigError("a\nb", "c", "D"), 2, "mamdr: a b; expected c. D.\n"),
        (MamdrError("x", "y", "z"), 1, "mamdr: x; expected y. z.\n"),
        (KeyboardInterrupt(), 130, "mamdr: interrupted; nothing half-written was left behind\n"),
    ],
)
def test_an_error_is_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mamdr.Run, "open", failing(error))
    monkeypatch.setattr(sys, "argv", ["mamdr", "evaluate", "run"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == code
    assert capsys.readouterr() == ("", line)


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mamdr.Run, "open", failing(ZeroDivisionError("x")))
    monkeypatch.setattr(sys, "argv", ["mamdr", "evaluate", "run"])
    with pytest.raises(ZeroDivisionError):
        main()


def test_a_reader_that_went_away_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mamdr.Run, "open", failing(BrokenPipeError(32, "Broken pipe")))
    monkeypatch.setattr(sys, "argv", ["mamdr", "evaluate", "run"])
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 0
        os.write(out.fileno(), b"nobody reads this")
    assert (tmp_path / "out").read_text() == ""
