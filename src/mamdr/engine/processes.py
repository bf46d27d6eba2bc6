"""Walks shared out over worker processes, with the bits that one process would give.

Workers are forked when a batch of walks comes and end with it: they see module, data and stores as they are at that
moment, without a copy, and send back displacements. Walks of a batch do not depend on each other and draw from their
own seeds, so who walks what changes nothing. A chain is walked by one worker, which pushes to a copy of its part what
the caller pushes to the part itself: nobody waits for other chains before the next walk.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pickle
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from mamdr.engine.walk import Walker
from mamdr.errors import ConfigError, MamdrError, TrainingError
from mamdr.parameters import Ids, Moments, Overlay, Point
from mamdr.strategies.chains import Chain, Together, by_turns
from mamdr.strategies.protocol import Memory, Outcome, Walk

_WINDOW = 256
"""Chains are handed out largest first within windows of this size: fair shares, few outcomes waiting for their turn."""

_PIPE = 1 << 20
"""Bytes that a worker's pipe holds: what Linux grants to everyone."""


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
        with closing(self._walked([Chain((walk,), 0.0) for walk in walks])) as come:
            waiting: dict[int, Outcome] = {}
            for index in range(len(walks)):
                while index not in waiting:
                    number, outcome = next(come)
                    waiting[number] = outcome
                yield waiting.pop(index)

    def chained(self, chains: Sequence[Chain], ordered: bool = False) -> Iterator[Together]:
        """Outcomes one by one, as they come unless they have to be ordered."""
        if ordered or len(chains) < 2 or self.jobs < 2:
            return by_turns(self, chains)
        return ([come] for come in self._walked(chains))

    def _walked(self, chains: Sequence[Chain]) -> Generator[tuple[int, Outcome], None, None]:
        for chain in chains:  # found before forking, so that it is found once
            for walk in chain.walks:
                self.walker.session.rows.union(domain for leg in walk.legs for domain in leg.domains)
        order = self._order(chains)
        context = multiprocessing.get_context("fork")
        counter = context.Value("q", 0)
        workers: dict[Connection, Any] = {}
        try:
            with _interrupts_wait():
                for _ in range(min(self.jobs, len(chains))):
                    here, there = context.Pipe(duplex=False)
                    _widen(there)
                    worker = context.Process(
                        target=self._work, args=(chains, order, counter, there, [*workers, here]), daemon=True
                    )
                    worker.start()
                    there.close()
                    workers[here] = worker
            yield from _received(chains, workers)
        finally:
            for pipe, worker in workers.items():
                pipe.close()
                if worker.is_alive():
                    worker.terminate()
                worker.join()

    def _order(self, chains: Sequence[Chain]) -> list[int]:
        costs = [sum(map(self.walker.cost, chain.walks)) for chain in chains]
        return sorted(range(len(chains)), key=lambda index: (index // _WINDOW, -costs[index], index))

    def _work(
        self,
        chains: Sequence[Chain],
        order: list[int],
        counter: Any,
        pipe: Connection,
        others: list[Connection],
    ) -> None:
        """A worker: take the next chain until none is left. Ends when the parent is gone and nobody reads."""
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
                for outcome in self._along(chains[order[turn]]):
                    _send(pipe, order[turn], outcome)
        except MamdrError as error:
            pipe.send_bytes(pickle.dumps(error))
        except BrokenPipeError:
            os._exit(1)
        pipe.close()

    def _along(self, chain: Chain) -> Iterator[Outcome]:
        """A chain's outcomes, each pushed to a copy of its part before the next walk."""
        first, *rest = chain.walks
        if not rest:
            yield self.walker(first)
            return
        assert isinstance(first.store, Overlay), "what is walked in a chain is a domain's own part"
        store = first.store.aside()
        for walk in chain.walks:
            outcome = self.walker(replace(walk, store=store))
            yield outcome
            store.push(outcome.displacement, chain.rate)


def _received(chains: Sequence[Chain], workers: dict[Connection, Any]) -> Iterator[tuple[int, Outcome]]:
    left = sum(len(chain.walks) for chain in chains)
    open_pipes = list(workers)
    while left:
        for pipe in wait(open_pipes):
            assert isinstance(pipe, Connection)
            try:
                come = _receive(pipe, chains)
            except (EOFError, OSError):
                open_pipes.remove(pipe)
                _check_end(workers[pipe])
                continue
            left -= 1
            yield come


def _widen(pipe: Connection) -> None:
    """Room for an outcome, where the system can give it: a worker goes on before the parent has read."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # beyond what a user may have
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


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
    values = outcome.displacement.flat.numpy().data.cast("B")
    while values:
        values = values[os.write(pipe.fileno(), values) :]


def _receive(pipe: Connection, chains: Sequence[Chain]) -> tuple[int, Outcome]:
    head = pickle.loads(pipe.recv_bytes())
    if isinstance(head, MamdrError):
        raise head
    space = chains[head.index].walks[0].store.space
    flat = torch.empty(space.size(head.ids), dtype=space.dtype)
    values = flat.numpy().data.cast("B")
    while values:  # straight into the tensor: a connection's own way has two copies more
        count = os.readv(pipe.fileno(), [values])
        if not count:
            raise EOFError
        values = values[count:]
    displacement = Point(space, head.ids, flat)
    told = (head.loss, head.samples, head.steps, head.moments, head.buffers, head.memory)
    return head.index, Outcome(displacement, *told)
