"""The `mamdr` command in a process of its own, without the seconds that importing it would take each time.

A server imports mamdr once and forks for each command: exit codes, signals and both streams are as they are for a user.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["pytest", "mamdr.cli"])
LIMIT = 120  # seconds that no command here may take

Prepare = Callable[[], None]
"""Changes mamdr inside the command's process before the command runs."""


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Command:
    """A command at work, from the moment on when it begins.

    Args:
        words: its words, without `mamdr`.
        folder: where it runs, and where `stdout` and `stderr` are kept.
        prepare: see `Prepare`.
    """

    def __init__(self, *words: object, folder: Path, prepare: Prepare | None = None) -> None:
        self.folder = folder
        begun, told = SERVER.Pipe(duplex=False)
        self.process = SERVER.Process(
            target=_work, args=([str(word) for word in words], folder, prepare, told)
        )
        self.process.start()
        begun.recv()

    def kill(self) -> None:
        """SIGKILL to the command alone, as the system's out-of-memory killer does."""
        self.process.kill()

    def interrupt(self) -> None:
        """SIGINT to the command and its workers, as a terminal does for Ctrl-C."""
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> Result:
        self.process.join(LIMIT)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"a command took more than {LIMIT} seconds")
        out, err = ((self.folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
        return Result(self.process.exitcode, out, err)


def run(*words: object, folder: Path, prepare: Prepare | None = None) -> Result:
    """Run a command to its end."""
    return Command(*words, folder=folder, prepare=prepare).wait()


def good(*words: object, folder: Path) -> str:
    """What a command that must succeed writes to standard output."""
    result = run(*words, folder=folder)
    assert result.code == 0, result.err
    return result.out


def bad(*words: object, folder: Path, code: int = 1, prepare: Prepare | None = None) -> str:
    """The one line with which a command that must fail does so."""
    result = run(*words, folder=folder, prepare=prepare)
    assert result.code == code, result
    assert result.err.startswith("mamdr: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.endswith(".\n")
    assert not result.out
    return result.err


def _work(words: list[str], folder: Path, prepare: Prepare | None, told: Connection) -> None:
    from mamdr.cli import main

    os.setpgid(0, 0)
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if prepare is not None:
        prepare()
    sys.argv = ["mamdr", *words]
    told.send(True)
    try:
        main()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do is this helper's, not the command's
