"""The service under load: latency, throughput, a change of versions, and many domains within a bounded memory.

    python -m benchmarks.serving_load [--json] [--seconds 60] [--only NAME]

A real `mamdr serve` of one worker, and the generator (benchmarks/http_load.py: asyncio, keep-alive, latency from the
moment a request was due), share the machine. MLP [256, 128, 64] on embeddings of 128, 1,000 items a domain, top 10.
Parts:

    recommend   50 requests a second: p50, p99, failed. Keys: recommend_p50_ms, recommend_p99_ms
    score       100 items a request, 4 connections that never wait. Key: score_per_second
    switch      as recommend, while two versions are promoted in turn, twice a second at most: failed, and mixed (an
                answer that is not the whole answer of the version that it names)
    domains     10,000 domains by Zipf's law, a smaller MLP, merged parts bounded to 8 MB: hit rate, p99, the worker's
                memory before and after
    join        a new domain of 1,000 interactions, sent over HTTP: seconds until it is served (by the shared parameters
                alone) and until the gate has decided
    naive       recommend, of FastAPI and model(batch) in the handler (benchmarks/naive_service.py)

The feature storage alone is benchmarks/feature_store.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks import harness
from benchmarks.http_load import Load, Request, as_fast_as_it_goes, at_rate
from mamdr.client import Client
from mamdr.data.building import build
from mamdr.data.domains import Dataset
from mamdr.feature_store import create
from mamdr.registry import Registry, publish
from mamdr.seeds import generator
from mamdr.training import Recipe
from mamdr.training.train import train

PARTS = ("recommend", "score", "switch", "domains", "join", "naive")


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    domains: int
    items: int
    users: int
    embedding: int
    hidden: list[int]
    many: int
    seconds: float
    rate: float


REAL = Sizes(10, 1_000, 5_000, 128, [256, 128, 64], 10_000, 60.0, 50.0)
SMOKE = Sizes(2, 30, 50, 4, [8], 20, 1.0, 20.0)


def market(domains: int, items: int, users: int, rows: int) -> pl.DataFrame:
    """Rows with labels; every domain has the same items, each of them at least once."""
    draw = generator(1, "serving load")
    total = domains * rows
    return pl.DataFrame(
        {
            "user_id": [f"u{number}" for number in draw.integers(0, users, total)],
            "item_id": [f"i{number % items}" for number in np.tile(np.arange(rows), domains)],
            "domain": [f"d{number}" for number in np.repeat(np.arange(domains), rows)],
            "label": draw.integers(0, 2, total),
        }
    )


def publish_run(folder: Path, sizes: Sizes, strategy: dict[str, Any], seeds: int) -> list[str]:
    """Train a round for each seed and publish it; the versions."""
    recipe = {
        "model": {"name": "mlp", "embedding": sizes.embedding, "hidden": sizes.hidden},
        "strategy": strategy,
        "train": {"rounds": 1},
    }
    registry, names = Registry(folder / "registry"), []
    for seed in range(1, seeds + 1):
        out = folder / f"run{seed}"
        train(
            Recipe.parse({**recipe, "train": {"rounds": 1, "seed": seed}}), Dataset.load(folder / "data"), out
        )
        names.append(publish(out, registry))
    registry.promote(names[0])
    return names


def make(folder: Path, sizes: Sizes) -> list[str]:
    """Data, features and two versions."""
    build(market(sizes.domains, sizes.items, sizes.users, 3 * sizes.items), name="load").save(folder / "data")
    create(folder / "data", folder / "features")
    return publish_run(folder, sizes, {"name": "mamdr", "num_helpers": 1}, seeds=2)


@contextlib.contextmanager
def serving(command: list[str], environment: dict[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """The port and the process of a server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, *command, "--port", str(port)]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    server = subprocess.Popen(words, env=variables, stderr=subprocess.DEVNULL, cwd=harness.ROOT)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def mamdr_serve(folder: Path, *more: str, onboard: bool = False) -> list[str]:
    """The command of a service on a folder, without its port."""
    start = "from mamdr.cli import main; main()"
    words = ["serve", str(folder / "registry"), "--features", str(folder / "features"), "--rate", "0"]
    return ["-c", start, *words, "--quiet", *([] if onboard else ["--no-onboard"]), "--poll", "0.1", *more]


def recommend(sizes: Sizes, domains: int) -> Callable[[int], Request]:
    """Requests for users and domains in turn."""

    def draw(number: int) -> Request:
        user, domain = f"u{number * 37 % sizes.users}", f"d{number % domains}"
        return f"/v1/domains/{domain}/recommend", json.dumps({"user": user, "k": 10}).encode()

    return draw


def score(sizes: Sizes) -> Callable[[int], Request]:
    """Requests for 100 items each."""

    def draw(number: int) -> Request:
        items = [f"i{(number * 13 + place) % sizes.items}" for place in range(100)]
        body = json.dumps({"user": f"u{number * 37 % sizes.users}", "items": items}).encode()
        return f"/v1/domains/d{number % sizes.domains}/score", body

    return draw


def measure_recommend(port: int, sizes: Sizes) -> Load:
    """At the rate, after a second of warming up."""
    draw = recommend(sizes, sizes.domains)
    asyncio.run(at_rate(port, draw, sizes.rate, 1.0))
    return asyncio.run(at_rate(port, draw, sizes.rate, sizes.seconds))


def measure_switch(port: int, sizes: Sizes, versions: list[str]) -> dict[str, float]:
    """The load while versions change; every answer is compared with the whole answer of the version it names."""
    client, draw = Client(f"http://127.0.0.1:{port}"), recommend(sizes, sizes.domains)
    number_of_questions, whole = 20, {}
    for version in versions:
        change(client, version)
        for number in range(number_of_questions):
            path, body = draw(number)
            whole[version, path, body] = client.call("POST", path, json.loads(body))["items"]
    stop, changes = threading.Event(), []

    def promote() -> None:
        while not stop.is_set():
            changes.append(change(client, versions[len(changes) % 2]))
            stop.wait(0.5)

    def check(request: Request, body: bytes) -> bool:
        said = json.loads(body)
        return bool(whole[(said["version"], *request)] == said["items"])

    thread = threading.Thread(target=promote)
    thread.start()
    load = asyncio.run(
        at_rate(port, lambda number: draw(number % number_of_questions), sizes.rate, sizes.seconds, check)
    )
    stop.set()
    thread.join()
    found = load.figures()
    return {**found, "mixed": found.pop("wrong"), "switches": len(changes)}


def change(client: Client, version: str) -> None:
    """Promote a version, and wait until it serves."""
    client.promote(version)
    while client.recommend("d0", "u0")["version"] != version:
        time.sleep(0.02)


def measure_join(folder: Path, sizes: Sizes) -> dict[str, float]:
    """A domain that joins, from its first request."""
    draw = generator(5, "joins")
    pairs = np.unique(np.stack([draw.integers(0, n, 1_000) for n in (sizes.users, sizes.items)], 1), axis=0)
    rows = [{"user": f"u{user}", "item": f"i{item}"} for user, item in pairs.tolist()]
    with serving(mamdr_serve(folder, onboard=True)) as (port, _):
        client = Client(f"http://127.0.0.1:{port}", timeout=60)
        begun = time.perf_counter()
        client.add_domain("newcomer")
        client.interactions("newcomer", rows)
        assert client.recommend("newcomer", "u1")["items"]
        served = time.perf_counter() - begun
        while (state := client.onboarding("newcomer")["phase"]) not in ("live", "rejected", "failed"):
            time.sleep(0.1)
        return {
            "served_s": served,
            "gated_s": time.perf_counter() - begun,
            "interactions": len(rows),
            "live": float(state == "live"),
        }


def measure_domains(folder: Path, sizes: Sizes) -> dict[str, float]:
    """Many domains by Zipf's law."""
    small = Sizes(sizes.many, 20, 500, 16, [64, 32], sizes.many, sizes.seconds, sizes.rate)
    build(market(small.domains, small.items, small.users, small.items), name="many").save(folder / "data")
    create(folder / "data", folder / "features")
    publish_run(folder, small, {"name": "separate"}, seeds=1)
    weights = np.cumsum(1 / np.arange(1, small.domains + 1))
    drawn = np.searchsorted(weights, generator(3, "zipf").random(1 << 16) * weights[-1]).tolist()

    def draw(number: int) -> Request:
        body = json.dumps({"user": f"u{number % small.users}", "k": 10}).encode()
        return f"/v1/domains/d{drawn[number % len(drawn)]}/recommend", body

    with serving(mamdr_serve(folder, "--cache-mb", "8")) as (port, process):
        asyncio.run(at_rate(port, draw, small.rate, 1.0))
        before = resident_mb(process)
        load = asyncio.run(as_fast_as_it_goes(port, draw, 2, small.seconds / 2))
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        after = resident_mb(process)
    hits, misses, held = (
        metric(metrics, f"mamdr_merged_{name}") for name in ("hits_total", "misses_total", "bytes")
    )
    return {
        **load.figures(),
        "hit_rate": hits / (hits + misses),
        "memory_before_mb": before,
        "memory_after_mb": after,
        "merged_mb": held / 2**20,
    }


def metric(text: str, name: str) -> float:
    """The sum of a metric's samples; 0 where it is not there."""
    lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def resident_mb(process: int) -> float:
    """Memory of a process that no other process shares with a file."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure(sizes: Sizes, parts: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Figures of each part."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(parts) - {"domains"}:
            (folder / "main").mkdir()
            versions = make(folder / "main", sizes)
            if set(parts) & {"recommend", "score", "switch"}:
                with serving(mamdr_serve(folder / "main")) as (port, _):
                    if "recommend" in parts:
                        found["recommend"] = measure_recommend(port, sizes).figures()
                    if "score" in parts:
                        load = as_fast_as_it_goes(port, score(sizes), 4, sizes.seconds / 4)
                        found["score"] = asyncio.run(load).figures()
                    if "switch" in parts:
                        found["switch"] = measure_switch(port, sizes, versions)
            if "join" in parts:
                found["join"] = measure_join(folder / "main", sizes)
            if "naive" in parts:
                command = [
                    "-m",
                    "uvicorn",
                    "benchmarks.naive_service:create",
                    "--factory",
                    "--log-level",
                    "error",
                ]
                with serving(command, {"NAIVE_RUN": str(folder / "main" / "run1")}) as (port, _):
                    found["naive"] = measure_recommend(port, sizes).figures()
        if "domains" in parts:
            (folder / "many").mkdir()
            found["domains"] = measure_domains(folder / "many", sizes)
    return found


def main() -> None:
    torch.set_num_threads(1)
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--seconds", type=float, default=REAL.seconds, help="of a load")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    options = parser.parse_args()
    sizes = SMOKE if options.smoke else Sizes(**{**vars(REAL), "seconds": options.seconds})
    found = measure(sizes, tuple(options.only or PARTS))
    figures: dict[str, Any] = {"parts": found}
    if "recommend" in found:
        figures |= {f"recommend_{name}": found["recommend"][name] for name in ("p50_ms", "p99_ms")}
    if "score" in found:
        figures["score_per_second"] = found["score"]["per_second"]
    names = list(dict.fromkeys(name for each in found.values() for name in each))
    rows: list[list[object]] = [["", *found]]
    rows += [[name, *(each.get(name, "") for each in found.values())] for name in names]
    harness.report("serving_load", figures, rows, options.json)


if __name__ == "__main__":
    main()
