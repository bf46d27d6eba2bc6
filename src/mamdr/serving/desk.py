"""A worker at its desk: a thread scores, one keeps what comes in, one loads versions; the event loop hands out work."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mamdr.errors import MamdrError
from mamdr.feature_store import FeatureStore, UpdatableStore
from mamdr.registry import Registry, Served
from mamdr.registry.newcomers import Newcomers
from mamdr.serving.catalogue import Catalogue, Live, UnknownDomainError
from mamdr.serving.directory import Directory
from mamdr.serving.events import EventLog
from mamdr.serving.log import log
from mamdr.serving.merged import Merged
from mamdr.serving.metrics import Counted
from mamdr.serving.onboarder import Onboarder
from mamdr.serving.options import ServeOptions
from mamdr.serving.scorer import Answer, Query, Scorer, TooLateError

T = TypeVar("T")
Asked = tuple[Query, str | None]
"""A query, and the version that it asks for."""


class TooBusyError(MamdrError):
    """More requests wait for their turn than may."""


class Desk:
    """All that a worker needs to answer.

    Args:
        options: how it serves.

    Raises:
        CheckpointError: no registry there.
        DataError: a feature storage that cannot be opened.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.registry = Registry.open(options.registry)
        self.stores: Sequence[FeatureStore] = options.stores()
        self.newcomers = Newcomers(self.registry)
        self.directory = Directory(self.registry)
        self.merged = Merged(options.cache_mb << 20)
        self.catalogue = Catalogue(self.registry, self.stores, self.merged)
        self.events = EventLog(options.events) if options.events else None
        self.counted = Counted()
        self.live = Live()
        self._latest = self.live  # as the loading thread has it
        self.faults: dict[str, str] = {}
        self._scoring = ThreadPoolExecutor(1, "scoring")
        self._keeping = ThreadPoolExecutor(1, "keeping")
        self._loading = ThreadPoolExecutor(1, "loading")
        self._seen: tuple[int, frozenset[str]] = (0, frozenset())
        self._onboarder = Onboarder(self.registry, options)
        self._waiting = 0
        self._told = (0, 0)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what serves, and begin to watch the registry."""
        await self.refresh()
        self._watch = asyncio.create_task(self._watching())

    async def stop(self) -> None:
        """End the watch, and close."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """Let go of threads, files and the process that trains newcomers."""
        self._onboarder.stop()
        for pool in (self._scoring, self._keeping, self._loading):
            pool.shutdown(wait=True, cancel_futures=True)
        for store in self.stores:
            store.close()

    async def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answers to queries, all from what served when the first of them was looked at.

        Raises:
            UnknownDomainError, UnknownVersionError, CheckpointError, DataError.
            TooBusyError, TooLateError.
        """
        if self._waiting >= self.options.waiting:
            raise TooBusyError("too many requests are waiting", "fewer", "Try again in a moment")
        live = await self._knowing({query.domain for query, _ in asked})
        deadline = time.monotonic() + self.options.timeout
        self._waiting += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._scoring, self._answers, live, asked, deadline
            )
            return await asyncio.wait_for(work, self.options.timeout)
        except TimeoutError as error:
            raise TooLateError(
                "a request took too long", "an answer in time", "Ask for fewer rows at once"
            ) from error
        finally:
            self._waiting -= 1

    async def keep(self, function: Callable[..., T], *args: object) -> T:
        """Do something that touches files, beside the answers; one such thing at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._keeping, lambda: function(*args))

    async def change(self, function: Callable[..., T], *args: object) -> T:
        """Do something to the registry, which may take as long as reading a version; the rest goes on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._loading, lambda: function(*args))

    async def refresh(self) -> None:
        """Let what the registry says now serve; what cannot be loaded is told, and what served before serves on."""
        live = await self.change(self._next)
        if live is not self.live:
            self.live = live
            self.counted.generation.set(live.pointer.generation)
            log("switched", generation=live.pointer.generation, serving=live.pointer.placement.serving)
            await asyncio.get_running_loop().run_in_executor(
                self._scoring, self.merged.forget, set(live.versions)
            )

    async def wake(self) -> None:
        """Train newcomers that wait, if no process does so already."""
        if self.options.onboard:
            await self.keep(self._onboarder.wake)

    def health(self) -> list[str]:
        """What is wrong, in words."""
        wrong = list(self.faults.values())
        for store in self.stores:
            health = store.health()
            if health.state != "ok":
                wrong.append(f"feature storage: {health.reason}")
        return wrong

    def updatable(self) -> list[UpdatableStore]:
        """The storages that take updates."""
        return [store for store in self.stores if isinstance(store, UpdatableStore)]

    async def _knowing(self, domains: set[str]) -> Live:
        """What serves; after another look at the registry where a domain is not known that has just been added."""
        missing = [domain for domain in domains if not self.live.holds(domain)]
        if self.live.versions and any(self.newcomers.find(domain) for domain in missing):
            await self.refresh()
        return self.live

    def _answers(self, live: Live, asked: Sequence[Asked], deadline: float) -> list[Answer]:
        groups: dict[tuple[str, str], tuple[Scorer, Served, list[int]]] = {}
        for place, (query, version) in enumerate(asked):
            scorer, served = live.served(query, version)
            groups.setdefault((served.version, query.domain), (scorer, served, []))[2].append(place)
        found: dict[int, Answer] = {}
        for scorer, served, places in groups.values():
            answers = scorer.answer(served, [asked[place][0] for place in places], deadline)
            found.update(zip(places, answers, strict=True))
        self._count()
        return [found[place] for place in range(len(asked))]

    def _count(self) -> None:
        hits, misses = self._told
        self._told = self.merged.hits, self.merged.misses
        self.counted.hits.inc(self.merged.hits - hits)
        self.counted.misses.inc(self.merged.misses - misses)
        self.counted.bytes.set(self.merged.bytes)

    def _next(self) -> Live:
        try:
            self._latest = self.catalogue.next(self._latest, self._known())
            self.faults.pop("registry", None)
        except MamdrError as error:
            if self.faults.get("registry") != str(error):
                log("fault", reason=str(error))
            self.faults["registry"] = str(error)
        return self._latest

    def _known(self) -> frozenset[str]:
        """Ids of newcomers; read again when their folder has changed."""
        try:
            changed = self.newcomers.folder.stat().st_mtime_ns
        except OSError:
            return frozenset()
        if self._seen[0] != changed:
            self._seen = changed, frozenset(newcomer.domain for newcomer in self.newcomers.all())
        return self._seen[1]

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(self.options.poll)
            try:
                await self.refresh()
                await self.wake()
                self.counted.degraded.set(bool(await self.keep(self.health)))
            except MamdrError as error:
                log("fault", reason=str(error))


__all__ = ["Asked", "Desk", "TooBusyError", "UnknownDomainError"]
