"""Rows a second between one process and one shard, beside torch.distributed.rpc and a gloo transfer in the same run.

    python -m benchmarks.ray_shard [--json] [--repeats 7]

A table of 400,000 rows of 64 floats; pulls and pushes of 10 to 100,000 random rows, everyone in turn. A pull asks by
ids and gets values; a push sends both (to be staged, for the shard; to be kept, for the others). rpc and gloo look rows
up in the same way, without buckets, stages or checks. Key: rows_per_second (pulls of 100,000 rows from our shard).
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import rpc

from benchmarks import harness
from mamdr.engine.ray import slices
from mamdr.engine.ray.actors import Actors, cluster
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.shard import Job, Shard
from mamdr.engine.ray.store import RemoteStore, Shards
from mamdr.parameters import Moments, Point, Space

WIDTH = 64
SIZES = (10, 100, 1_000, 10_000, 100_000)
Move = Callable[[int], None]
_TABLE: dict[str, Tensor] = {}


@functools.lru_cache
def _rows(table: int, count: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.sort(torch.randperm(table, generator=draw)[:count]).values


@contextmanager
def ours(launcher: Actors, table: int) -> Iterator[dict[str, Move]]:
    """Pulls from a shard, and pushes to it."""
    space = Space.of(nn.Embedding(table, WIDTH))
    with tempfile.TemporaryDirectory() as place:
        folder, none = Path(place), torch.empty(0)
        slices.save(folder, "rows", [torch.arange(table)], none, [torch.rand(table, WIDTH)], Moments())
        buckets = Buckets(960, 1)
        peers = [launcher.start(str(i), 0, Shard, Job(space, buckets, i)) for i in ("dense", 0)]  # type: ignore[arg-type]
        launcher.ready(peers)
        for peer in peers:
            peer.ask("load", folder, ["rows"]).get()
        store, turn = RemoteStore(space, buckets, Shards(peers[0], [peers[1]])), [0]

        def pull(count: int) -> None:
            store.pull((_rows(table, count, count),))

        def push(count: int) -> None:
            turn[0] += 1
            store.stage((0, turn[0] % 2), 0, Point.zeros(space, (_rows(table, count, count),)))

        yield {"pull": pull, "push": push}
        for peer in peers:
            launcher.stop(peer)


def _pull(ids: Tensor) -> Tensor:
    return _TABLE["rows"][ids]


def _push(ids: Tensor, values: Tensor) -> None:
    _TABLE["staged"] = values.clone()


def _serve(port: int, table: int) -> None:
    """The other end of gloo, and then of rpc."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    _TABLE["rows"] = torch.rand(table, WIDTH)
    dist.init_process_group("gloo", rank=1, world_size=2)
    head = torch.zeros(2, dtype=torch.int64)
    while True:
        dist.recv(head, 0)
        what, count = head.tolist()
        if what == 2:
            break
        ids, values = torch.empty(count, dtype=torch.int64), torch.empty(count, WIDTH)
        dist.recv(ids, 0)
        if what == 0:
            dist.send(_TABLE["rows"][ids], 0)
        else:
            dist.recv(values, 0)
            _TABLE["staged"] = values
            dist.send(head, 0)
    dist.destroy_process_group()
    os.environ["MASTER_PORT"] = str(port + 1)
    rpc.init_rpc("server", rank=1, world_size=2)
    rpc.shutdown()


def _gloo(what: int, table: int) -> Move:
    def move(count: int) -> None:
        ids = _rows(table, count, count)
        dist.send(torch.tensor([what, count]), 1)
        dist.send(ids, 1)
        if what == 0:
            dist.recv(torch.empty(count, WIDTH), 1)
        else:
            dist.send(torch.zeros(count, WIDTH), 1)
            dist.recv(torch.zeros(2, dtype=torch.int64), 1)

    return move


def _spent(move: Move, count: int, repeats: int) -> float:
    """Median seconds of a move, after a first one that draws the rows."""
    spent = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        move(count)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent[1:])


def measure(sizes: tuple[int, ...], table: int, repeats: int) -> dict[str, Any]:
    """Rows a second by who, what and how many."""
    rates: dict[str, dict[int, float]] = {}

    def note(who: str, move: Move) -> None:
        for count in sizes:
            rates.setdefault(who, {})[count] = count / _spent(move, count, repeats)

    with cluster(None, 2, 120.0) as launcher, ours(launcher, table) as moves:
        for what, move in moves.items():
            note(f"{what} ray", move)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    other = multiprocessing.get_context("spawn").Process(target=_serve, args=(port, table))
    other.start()
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=0, world_size=2)
    for number, what in enumerate(("pull", "push")):
        note(f"{what} gloo", _gloo(number, table))
    dist.send(torch.tensor([2, 0]), 1)
    dist.destroy_process_group()
    os.environ["MASTER_PORT"] = str(port + 1)
    rpc.init_rpc("client", rank=0, world_size=2)
    note("pull rpc", lambda count: rpc.rpc_sync("server", _pull, (_rows(table, count, count),)))
    zeros = {count: torch.zeros(count, WIDTH) for count in sizes}
    note("push rpc", lambda n: rpc.rpc_sync("server", _push, (_rows(table, n, n), zeros[n])))
    rpc.shutdown()
    other.join()
    figures = {who: {str(count): round(rate) for count, rate in each.items()} for who, each in rates.items()}
    return {"rows_per_second": round(rates["pull ray"][sizes[-1]]), "rates": figures}


def main() -> None:
    torch.set_num_threads(1)
    options = harness.parser(__doc__ or "", repeats=7).parse_args()
    figures = measure(*((10, 100), 1_000, 1) if options.smoke else (SIZES, 400_000, options.repeats))
    sizes = list(figures["rates"]["pull ray"])
    table: list[list[object]] = [["rows a second", *(f"{int(size):,}" for size in sizes), "MB/s at most"]]
    for who, rates in figures["rates"].items():
        best = max(rates.values()) * WIDTH * 4 / 1e6
        table.append([who, *(f"{rate:,}" for rate in rates.values()), f"{best:,.0f}"])
    harness.report("ray_shard", figures, table, options.json)


if __name__ == "__main__":
    main()
