"""Walks shared out over worker processes, with the bits that one process would give.

Workers are forked when a batch of walks comes and end with it: they see module, data and stores as they are at that
moment, without a copy, and send back displacements. Walks of a batch do not depend on each other and draw from their
own seeds, so who walks what changes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from mamdr.engine.walk import Walker
from mamdr.errors import ConfigError, MamdrError, TrainingError
from mamdr.parameters import Ids, Moments, Point
from mamdr.strategies.protocol import Memory, Outcome, Walk

_WINDOW = 256
"""Walks are handed out largest first within windows of this size: fair shares, few outcomes waiting for their turn."""


class Processes:
    """Walks in `jobs` forked processes of one thread each. A single walk is walked here.

    Args:
        walker: walks.
        jobs: number of processes, >= 1.

    Raises:
        ConfigError: the system cannot fork.
        TrainingError: a worker died.
    """

    def __init__(self, walker: Walker, jobs: int) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise ConfigError("this system cannot fork processes", "jobs = 1", "Set jobs to 1")
        self.walker, self.jobs = walker, jobs

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        if len(walks) < 2 or self.jobs < 2:
            yield from (self.walker(walk) for walk in walks)
            return
        for walk in walks:  # found before forking, so that it is found once
            self.walker.session.rows.union(domain for leg in walk.legs for domain in leg.domains)
        order = self._order(walks)
        context = multiprocessing.get_context("fork")
        counter = context.Value("q", 0)
        workers: dict[Connection, Any] = {}
        try:
            with _interrupts_wait():
                for _ in range(min(self.jobs, len(walks))):
                    here, there = context.Pipe(duplex=False)
                    worker = context.Process(
                        target=self._work, args=(walks, order, counter, there, [*workers, here]), daemon=True
                    )
                    worker.start()
                    there.close()
                    workers[here] = worker
            yield from self._in_order(walks, workers)
        finally:
            for pipe, worker in workers.items():
                pipe.close()
                if worker.is_alive():
                    worker.terminate()
                worker.join()

    def _order(self, walks: Sequence[Walk]) -> list[int]:
        costs = [self.walker.cost(walk) for walk in walks]
        return sorted(range(len(walks)), key=lambda index: (index // _WINDOW, -costs[index], index))

    def _work(
        self,
        walks: Sequence[Walk],
        order: list[int],
        counter: Any,
        pipe: Connection,
        others: list[Connection],
    ) -> None:
        """A worker: take the next walk until none is left. Ends when the parent is gone and nobody reads."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for other in others:
            other.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler, if it has one, is not for us
        torch.set_num_threads(1)
        try:
            while True:
                with counter.get_lock():
                    turn = counter.value
                    counter.value += 1
                if turn >= len(order):
                    break
                _send(pipe, order[turn], self.walker(walks[order[turn]]))
        except MamdrError as error:
            pipe.send_bytes(pickle.dumps(error))
        except BrokenPipeError:
            os._exit(1)
        pipe.close()

    def _in_order(self, walks: Sequence[Walk], workers: dict[Connection, Any]) -> Iterator[Outcome]:
        waiting: dict[int, Outcome] = {}
        open_pipes = list(workers)
        for index in range(len(walks)):
            while index not in waiting:
                for pipe in wait(open_pipes):
                    assert isinstance(pipe, Connection)
                    try:
                        number, outcome = _receive(pipe, walks)
                        waiting[number] = outcome
                    except (EOFError, OSError):
                        open_pipes.remove(pipe)
                        _check_end(workers[pipe])
            yield waiting.pop(index)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C goes to a terminal's every process: a worker must not meet it before it has learned to ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check_end(worker: Any) -> None:
    """Raise at once when a worker did not end of its own will: its walks would never come."""
    worker.join()
    if worker.exitcode:
        raise TrainingError(
            f"a worker process ended early (exit code {worker.exitcode})",
            "every walk's outcome",
            "Read what it wrote to standard error, look for the system's out-of-memory killer, lower jobs, and go on"
            " with --resume",
        )


@dataclass
class _Header:
    """What travels before an outcome's values."""

    index: int
    ids: Ids
    loss: float
    samples: int
    steps: int
    moments: Moments | None
    buffers: dict[str, torch.Tensor]
    memory: Memory


def _send(pipe: Connection, index: int, outcome: Outcome) -> None:
    head = _Header(
        index,
        outcome.displacement.ids,
        outcome.loss,
        outcome.samples,
        outcome.steps,
        outcome.moments,
        outcome.buffers,
        outcome.memory,
    )
    pipe.send_bytes(pickle.dumps(head))
    pipe.send_bytes(outcome.displacement.flat.numpy().data.cast("B"))


def _receive(pipe: Connection, walks: Sequence[Walk]) -> tuple[int, Outcome]:
    head = pickle.loads(pipe.recv_bytes())
    if isinstance(head, MamdrError):
        raise head
    space = walks[head.index].store.space
    flat = torch.empty(space.size(head.ids), dtype=space.dtype)
    pipe.recv_bytes_into(flat.numpy().data.cast("B"))
    displacement = Point(space, head.ids, flat)
    told = (head.loss, head.samples, head.steps, head.moments, head.buffers, head.memory)
    return head.index, Outcome(displacement, *told)
