"""All cells of an experiment, in turn or several at once; a cell that has its result is not trained again."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError, TrainingError
from mamdr.experiments import results
from mamdr.experiments.design import Cell
from mamdr.experiments.results import Result
from mamdr.files import sweep

Heard = Callable[[Cell, Result, int, int], None]
"""Told of each result as it comes: the cell, its result, how many are done, how many there are."""


def run(
    cells: Sequence[Cell],
    data: Dataset,
    out: Path,
    *,
    jobs: int = 1,
    keep_runs: bool = False,
    heard: Heard = lambda cell, result, done, total: None,
) -> dict[Cell, Result]:
    """Train and measure what has no result yet.

    Args:
        data: the data set, loaded from a folder where `jobs` is above 1.
        out: where results lie; whatever is there already is taken over, and a cell that was stopped goes on.
        jobs: cells trained at once, each in a process of one thread.
        keep_runs: keep each cell's checkpoints; else they go when the cell has been measured.
        heard: told of each result.

    Returns: each cell's result, in the order of the cells.
    Raises: ConfigError for results on other data; what training raises, but for a training that diverges, which is a
        result.
    Cost: of a killed experiment nothing is computed again but the round under way in each process.
    """
    for folder in (out / "results", out / "runs"):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
    known = {cell.key: results.load(out, cell, data) for cell in cells}
    done = 0
    for cell in cells:
        if (result := known[cell.key]) is not None:
            if not keep_runs:
                results.drop_run(out, cell)  # a kill may have come between the two
            done += 1
            heard(cell, result, done, len(cells))
    missing = _trainings([cell for cell in cells if known[cell.key] is None])
    made = _in_turn if jobs == 1 or len(missing) < 2 else _at_once
    for found in made(missing, data, out, jobs, keep_runs):
        for cell in cells:
            if cell.key in found and known[cell.key] is None:
                done += 1
                heard(cell, found[cell.key], done, len(cells))
        known |= found
    return {cell: result for cell in cells if (result := known[cell.key]) is not None}


def _trainings(cells: Sequence[Cell]) -> list[Cell]:
    """The cells to train: each once, and none that another one's training has in it."""
    within = {twin.key for cell in cells if (twin := cell.one_round)}
    return list({cell.key: cell for cell in cells if cell.key not in within}.values())


Found = dict[str, Result]
"""Results by key."""


def _in_turn(cells: Sequence[Cell], data: Dataset, out: Path, jobs: int, keep_runs: bool) -> Iterator[Found]:
    for cell in cells:
        yield results.make(out, cell, data, keep_runs=keep_runs)


def _at_once(cells: Sequence[Cell], data: Dataset, out: Path, jobs: int, keep_runs: bool) -> Iterator[Found]:
    if data.folder is None:
        raise ConfigError(
            "data in memory with several jobs", "a data folder", "Save the data, or set jobs to 1"
        )
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(jobs, len(cells)), context, initializer=_begin, initargs=(data.folder, os.getpid())
    )
    try:
        waiting = {pool.submit(_make, out, cell, keep_runs) for cell in cells}
        while waiting:
            ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                yield _found(future)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _found(future: Future[Found]) -> Found:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that trained a cell died",
            "processes that end by themselves",
            "Look for what killed it (memory?), and give the same command again: what is done stays done",
        ) from error


_data: Dataset | None = None
"""A worker's data, loaded when it begins."""


def _begin(folder: Path, parent: int) -> None:
    global _data
    import torch

    torch.set_num_threads(1)
    _data = Dataset.load(folder)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End with the process that started this one, so that nobody trains a cell that another may go on with."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _make(out: Path, cell: Cell, keep_runs: bool) -> Found:
    assert _data is not None
    return results.make(out, cell, _data, keep_runs=keep_runs)
