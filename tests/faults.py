"""What goes wrong on a real machine: processes that are killed, disks that are full."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.commands import SERVER


class Worker:
    """A function at work in a process of its own, which tells what it has done, and may be killed.

    Args:
        work: called with a connection to send what it has done, and the arguments; found by its module's name.
    """

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._told, told = SERVER.Pipe(duplex=False)
        self.process = SERVER.Process(target=work, args=(told, *arguments))
        self.process.start()
        told.close()

    def kill(self) -> list[Any]:
        """SIGKILL; then what it had told."""
        self.process.kill()
        return self.rest()

    def first(self) -> Any:
        """The next thing that it tells."""
        return self._told.recv()

    def rest(self) -> list[Any]:
        """All that it told, once it has ended."""
        self.process.join()
        said = []
        while self._told.poll():
            try:
                said.append(self._told.recv())
            except EOFError:
                break
        return said


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size; skips where none can be made."""
    folder.mkdir()
    try:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command to make a small disk with")
    if made.returncode:
        pytest.skip(f"a small disk cannot be made here: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
