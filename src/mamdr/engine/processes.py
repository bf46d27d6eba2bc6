"""Walks shared out over worker processes, with the bits that one process would give.

Workers are forked when a batch of walks comes and end with it: they see module, data and stores as they are at that
moment, without a copy, and send back displacements. Walks of a batch do not depend on each other and draw from their
own seeds, so who walks what changes nothing. A chain is walked by one worker, which pushes to a copy of its part what
the caller pushes to the part itself: nobody waits for other chains before the next walk. A walk that will be asked for
later (`early`) is begun first and beside the others.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from mamdr.engine.early import Early
from mamdr.engine.pipes import receive, send, tell, widen
from mamdr.engine.walk import Walker
from mamdr.errors import ConfigError, MamdrError, TrainingError
from mamdr.parameters import Overlay
from mamdr.strategies.chains import Chain, Together, by_turns
from mamdr.strategies.protocol import Outcome, Walk

_WINDOW = 256
"""Chains are handed out largest first within windows of this size: fair shares, few outcomes waiting for their turn."""

_EARLY = -1
"""The number under which a walk begun early comes."""


class Processes:
    """Walks in `jobs` forked processes of one thread each. A single walk is walked here.

    Args:
        walker: walks.
        jobs: number of processes, >= 1.

    Raises:
        ConfigError: the system cannot fork.
        TrainingError: a worker died.
    """

    _early: Early | None = None

    def __init__(self, walker: Walker, jobs: int) -> None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise ConfigError("this system cannot fork processes", "jobs = 1", "Set jobs to 1")
        self.walker, self.jobs = walker, jobs

    def __call__(self, walks: Sequence[Walk]) -> Iterator[Outcome]:
        if len(walks) < 2 or self.jobs < 2:
            yield from (self._begun(walk) or self.walker(walk) for walk in walks)
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
        new = self._early is not None and not self._early.begun
        if ordered or len(chains) + new < 2 or self.jobs < 2:
            return by_turns(self, chains)
        return ([come] for come in self._walked(chains))

    def early(self, walk: Walk) -> None:
        """Walk this beside the next batch of walks, and keep its outcome until it is asked for by itself.

        Nothing comes of it, and the walk is walked when it is asked for, where no batch comes before or what it begins
        from has changed by then. It takes the place of another that waits.

        Memory: its outcome, while it waits.
        """
        self.close()
        self._early = Early.of(walk) if self.jobs > 1 else None

    def close(self) -> None:
        """End what was begun and has not been asked for."""
        early, self._early = self._early, None
        if early is not None:
            early.end()

    def __del__(self) -> None:
        self.close()

    def _begun(self, walk: Walk) -> Outcome | None:
        """The outcome of a walk that was begun early."""
        early = self._early
        if early is None or not early.is_named(walk):
            return None
        self._early = None
        try:
            if not early.begun or not early.holds(walk):
                return None
            while early.come is None:
                self._take(early)
        finally:
            early.end()
        if isinstance(early.come, MamdrError):
            raise early.come
        return early.come

    def _take(self, early: Early) -> None:
        """Wait for the outcome of a walk that was begun early."""
        assert early.worker is not None
        pipe, worker = early.worker
        try:
            _, early.come = receive(pipe, {_EARLY: early.walk.store.space})
        except (EOFError, OSError):
            _check_end(worker)
            raise

    def _walked(self, chains: Sequence[Chain]) -> Generator[tuple[int, Outcome], None, None]:
        early = self._early
        new = early if early is not None and not early.begun else None
        going = early.worker if early is not None and early.under_way else None  # since an earlier batch
        walks = [walk for chain in chains for walk in chain.walks]
        for walk in [*walks, new.walk] if new else walks:  # found before forking, so that it is found once
            self.walker.session.rows.union(domain for leg in walk.legs for domain in leg.domains)
        order = self._order(chains)
        context = multiprocessing.get_context("fork")
        counter = context.Value("q", 0)
        workers: dict[Connection, Any] = {}
        try:
            with _interrupts_wait():
                for _ in range(min(self.jobs - bool(going), len(chains) + bool(new))):
                    here, there = context.Pipe(duplex=False)
                    widen(there)
                    others = [*workers, here, *([going[0]] if going else [])]
                    first = new.walk if new and not workers else None
                    worker = context.Process(
                        target=self._work, args=(chains, order, counter, there, others, first), daemon=True
                    )
                    worker.start()
                    there.close()
                    workers[here] = worker
                    if new and first:
                        new.worker = here, worker
            yield from _received(chains, workers, early)
        finally:
            for pipe, worker in workers.items():
                if early is not None and early.under_way and early.worker == (pipe, worker):
                    continue  # others' walks are over, and this one goes on
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
        first: Walk | None,
    ) -> None:
        """A worker: walk what is to be begun early, if it is this one that does, and take the next chain until none is
        left. Ends when the parent is gone and nobody reads."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for other in others:
            other.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler, if it has one, is not for us
        torch.set_num_threads(1)
        try:
            if first is not None:
                self._walk_early(pipe, first)
            while True:
                with counter.get_lock():
                    turn = counter.value
                    counter.value += 1
                if turn >= len(order):
                    break
                for outcome in self._along(chains[order[turn]]):
                    send(pipe, order[turn], outcome)
        except MamdrError as error:
            tell(pipe, None, error)
        except BrokenPipeError:
            os._exit(1)
        pipe.close()

    def _walk_early(self, pipe: Connection, walk: Walk) -> None:
        try:
            send(pipe, _EARLY, self.walker(walk))
        except MamdrError as error:  # for who asks for this walk
            tell(pipe, _EARLY, error)

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


def _received(
    chains: Sequence[Chain], workers: dict[Connection, Any], early: Early | None
) -> Iterator[tuple[int, Outcome]]:
    """The chains' outcomes as they come; that of the walk begun early is put where it waits."""
    spaces = dict(enumerate(chain.walks[0].store.space for chain in chains))
    working = dict(workers)
    if early is not None and early.worker is not None:
        spaces[_EARLY] = early.walk.store.space
        working |= [early.worker] if early.under_way else []
    left = sum(len(chain.walks) for chain in chains)
    while left:
        for pipe in wait(list(working)):
            assert isinstance(pipe, Connection)
            try:
                index, come = receive(pipe, spaces)
            except (EOFError, OSError):
                _check_end(working.pop(pipe))
                continue
            if index == _EARLY and early is not None:
                early.come = come
                continue
            if isinstance(come, MamdrError):
                raise come
            assert index is not None
            left -= 1
            yield index, come


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
