"""A load generator: asyncio, keep-alive connections, requests at fixed times, latency from when a request was due.

A request that has to wait for a connection is late by that much, so a server that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Request = tuple[str, bytes]
"""Path and body of a POST."""

Check = Callable[[Request, bytes], bool]
"""Whether an answer is the right one."""


@dataclass
class Load:
    """What came of a load."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    wrong: int = 0
    wall: float = 0.0

    def figures(self) -> dict[str, float]:
        """Latencies in milliseconds, requests a second, and what went wrong."""
        taken = np.array(self.seconds) * 1e3
        return {
            "requests": len(taken) + self.failed,
            "per_second": len(taken) / self.wall,
            "p50_ms": float(np.percentile(taken, 50)),
            "p95_ms": float(np.percentile(taken, 95)),
            "p99_ms": float(np.percentile(taken, 99)),
            "max_ms": float(taken.max()),
            "failed": self.failed,
            "wrong": self.wrong,
        }


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None

    async def post(self, request: Request) -> tuple[int, bytes]:
        """Status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        path, body = request
        about = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([f"POST {path} HTTP/1.1", *about, "", ""]).encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.split("content-length:", 1)[1].split("\r\n", 1)[0])
        return int(answer.split(" ", 2)[1]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def at_rate(
    port: int, draw: Callable[[int], Request], rate: float, seconds: float, check: Check | None = None
) -> Load:
    """So many requests a second for so long, over 16 connections."""
    load, free = Load(), asyncio.Queue[Connection]()
    every = [Connection(port) for _ in range(16)]
    for connection in every:
        free.put_nowait(connection)

    async def ask(number: int, due: float) -> None:
        request = draw(number)
        connection = await free.get()
        await _ask(connection, request, load, due, check)
        free.put_nowait(connection)

    begun, waiting = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        waiting.append(asyncio.create_task(ask(number, due)))
    await asyncio.gather(*waiting)
    load.wall = time.perf_counter() - begun
    for connection in every:
        connection.close()
    return load


async def as_fast_as_it_goes(
    port: int, draw: Callable[[int], Request], connections: int, seconds: float, check: Check | None = None
) -> Load:
    """Each connection asks again as soon as it has its answer."""
    load, begun = Load(), time.perf_counter()

    async def ask(start: int) -> None:
        connection, number = Connection(port), start
        while time.perf_counter() - begun < seconds:
            await _ask(connection, draw(number), load, time.perf_counter(), check)
            number += connections
        connection.close()

    await asyncio.gather(*(ask(start) for start in range(connections)))
    load.wall = time.perf_counter() - begun
    return load


async def _ask(connection: Connection, request: Request, load: Load, due: float, check: Check | None) -> None:
    try:
        status, body = await connection.post(request)
    except (OSError, asyncio.IncompleteReadError):
        connection.close()
        load.failed += 1
        return
    if status != 200:
        load.failed += 1
        return
    load.seconds.append(time.perf_counter() - due)
    if check is not None and not check(request, body):
        load.wrong += 1
