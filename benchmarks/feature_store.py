"""Microseconds to read 101 rows (a user and 100 items) from each feature store, by their raw ids.

    python -m benchmarks.feature_store [--json] [--repeats 9]

Train has about 160,000 users and 90,000 items, with a category and a number each; ids are text. Each repeat asks every
store in turn, as many times, for rows drawn anew. "plain" has no other columns; "lists" has a list of up to 10 ids for
each user and each item beside. Cases:

    snapshot          ids that the process has asked for before
    snapshot, new     ids that it has not: their index is read from the memory-mapped files
    lmdb              updates in LMDB, 10,000 of which are of these items; each read asks whether there are more
    redis             the same in Redis on a socket; each read asks it
    redis, 0.1 s old  the same, where what was read up to 0.1 s ago will do

Key: snapshot_us, the median of the plain snapshot. Redis is left out where redis-server is not installed.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks import harness
from mamdr.data.build import build
from mamdr.feature_store import FeatureStore, UpdatableStore, create, open_store
from mamdr.feature_store.folder import open_updatable
from mamdr.feature_store.snapshot import Snapshot
from mamdr.seeds import generator

ITEMS_OF_A_REQUEST = 100


def table(users: int, items: int, *, lists: bool) -> pl.DataFrame:
    """A row for each user, and for each item."""
    draw = generator(1, "feature store")
    rows = 2 * max(users, items)
    user, item = np.arange(rows) % users, np.arange(rows) % items
    columns: dict[str, Any] = {
        "user_id": [f"user-{number}" for number in user],
        "item_id": [f"item-{number}" for number in item],
        "domain": [f"d{number % 10}" for number in range(rows)],
        "label": draw.integers(0, 2, rows),
        "user:city": draw.integers(0, 300, users)[user],
        "user:age": draw.random(users)[user],
        "item:brand": draw.integers(0, 5000, items)[item],
        "item:price": draw.random(items)[item],
    }
    if lists:
        for owner, own, count in (("user", user, users), ("item", item, items)):
            values = draw.integers(0, 1000, (count, 10))
            lengths = draw.integers(0, 11, count)
            columns[f"{owner}:tags"] = [values[row, : lengths[row]].tolist() for row in own]
    return pl.DataFrame(columns)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """The URL of a Redis on a socket, or None where there is none to start."""
    if shutil.which("redis-server") is None:
        yield None
        return
    socket = folder / "s"
    words = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        server.kill()
        server.wait()


def updated(store: UpdatableStore, count: int) -> UpdatableStore:
    """Give some items other prices."""
    names = [f"item-{number}" for number in range(count)]
    store.update("item", pl.DataFrame({"item_id": names, "item:price": [0.5] * count}))
    return store


def ask(
    store: FeatureStore, users: list[str], items: list[list[str]], before: Callable[[], None]
) -> list[float]:
    """Seconds of each request."""
    spent = []
    for user, names in zip(users, items, strict=True):
        before()
        begun = time.perf_counter()
        store.lookup("user", [user])
        store.lookup("item", names)
        spent.append(time.perf_counter() - begun)
    return spent


def forget(store: Any) -> Callable[[], None]:
    """Let a process be as one that has asked for nothing."""

    def again() -> None:
        for keys in store.content.keys.values():
            keys._warm.clear()

    return again


def measure(
    users: int, items: int, repeats: int, requests: int, *, lists: bool
) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of each case in microseconds."""
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as url:
        folder = Path(name)
        build(table(users, items, lists=lists), name="features").save(folder / "data")
        for kind in ("store", "lmdb", "redis"):
            create(folder / "data", folder / kind)
        snapshot = open_store(folder / "store", updates=False)
        assert isinstance(snapshot, Snapshot)
        stores: dict[str, FeatureStore] = {
            "snapshot": snapshot,
            "snapshot, new": open_store(folder / "store", updates=False),
        }
        count = min(10_000, items // 10)
        stores["lmdb"] = updated(open_updatable(folder / "lmdb"), count)
        if url is not None:
            stores["redis"] = updated(open_updatable(folder / "redis", redis=url), count)
            stores["redis, 0.1 s old"] = open_updatable(folder / "redis", redis=url, max_age=0.1)
        befores = {case: (forget(store) if "new" in case else lambda: None) for case, store in stores.items()}
        everyone = {owner: keys.texts() for owner, keys in snapshot.content.keys.items()}
        for case, store in stores.items():
            if "new" not in case:
                for owner, names in everyone.items():
                    store.lookup(owner, names)
        spent: dict[str, list[float]] = {case: [] for case in stores}
        for repeat in range(repeats):
            draw = generator(2, "requests", repeat)
            asked = draw.choice(everyone["user"], requests).tolist()
            wanted = draw.choice(everyone["item"], (requests, ITEMS_OF_A_REQUEST)).tolist()
            for case, store in stores.items():
                spent[case] += ask(store, asked, wanted, befores[case])
        for store in stores.values():
            store.close()
    return {
        case: {"p50_us": float(np.percentile(each, 50)) * 1e6, "p99_us": float(np.percentile(each, 99)) * 1e6}
        for case, each in spent.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    options = harness.parser(__doc__ or "", repeats=9).parse_args()
    sizes = (2_000, 1_000, 1, 20) if options.smoke else (200_000, 100_000, options.repeats, 1_000)
    found = {name: measure(*sizes, lists=name == "lists") for name in ("plain", "lists")}
    figures = {"snapshot_us": found["plain"]["snapshot"]["p50_us"], "cases": found}
    rows: list[list[object]] = [["store", "p50 us", "p99 us", "with lists p50", "p99"]]
    for case, plain in found["plain"].items():
        lists = found["lists"][case]
        rows.append([case, plain["p50_us"], plain["p99_us"], lists["p50_us"], lists["p99_us"]])
    harness.report("feature_store", figures, rows, options.json)


if __name__ == "__main__":
    main()
