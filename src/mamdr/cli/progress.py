"""A progress bar for work that takes over two seconds, on stderr, where that is a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PATIENCE = 2.0  # seconds of work before a bar appears


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function of (text, steps done, steps in all); the bar appears once two seconds have gone by.

    Where stderr is no terminal nothing is written: a bar's remains would only be in the way of a log's lines.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_interactive)
    begin, task = time.monotonic(), bar.add_task("", total=None)

    def update(text: str, done: int, total: int) -> None:
        if time.monotonic() - begin >= PATIENCE:
            bar.start()
        bar.update(task, description=text, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
