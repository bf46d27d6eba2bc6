"""Microseconds to read 101 rows (a user and 100 items) from each feature store, by their raw ids.

    python -m benchmarks.feature_store [--json] [--repeats 9]

Train has about 160,000 users and 90,000 items, with a category and a number each; ids are text. Each repeat asks every
store in turn, as many times, for users and items drawn anew, whose ids have just been read from JSON: by Zipf's law, as
traffic is, or all alike ("uniform"), the worst case for a processor's caches; "lists" has a list of up to 10 ids for
each user and each item beside. Cases:

    snapshot          ids that the process has asked for before
    snapshot, new     ids that it has not: their index is read from the memory-mapped files
    lmdb              updates in LMDB, 10,000 of which are of these items; each read asks whether there are more
    redis             the same in Redis on a socket; each read asks it
    redis, 0.1 s old  the same, where what was read up to 0.1 s ago will do

Key: snapshot_us, the median of the snapshot by Zipf's law. Redis is left out where redis-server is not installed.
"""

from __future__ import annotations

import contextlib
import json
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
from mamdr.data.building import build
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


def places(draw: np.random.Generator, among: int, count: int, zipf: bool) -> list[int]:
    """Which of so many are asked for: all alike, or number r as often as 1 / r."""
    if not zipf:
        return draw.integers(0, among, count).tolist()
    ends = np.cumsum(1 / np.arange(1, among + 1))
    ranks = np.searchsorted(ends, draw.random(count) * ends[-1])
    return draw.permutation(among)[ranks].tolist()


def ask(store: FeatureStore, requests: list[str], before: Callable[[], None]) -> list[float]:
    """Seconds of each request, whose ids have just been read from JSON, as a service has them."""
    spent = []
    for request in requests:
        before()
        user, items = json.loads(request)
        begun = time.perf_counter()
        store.lookup("user", [user])
        store.lookup("item", items)
        spent.append(time.perf_counter() - begun)
    return spent


def forget(store: Any) -> Callable[[], None]:
    """Let a process be as one that has asked for nothing."""

    def again() -> None:
        for keys in store.content.keys.values():
            keys._warm.clear()

    return again


def measure(
    users: int, items: int, repeats: int, requests: int, *, lists: bool, zipf: bool
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
            asked = [everyone["user"][k] for k in places(draw, len(everyone["user"]), requests, zipf)]
            count = requests * ITEMS_OF_A_REQUEST
            items_asked = [everyone["item"][k] for k in places(draw, len(everyone["item"]), count, zipf)]
            wanted = [
                items_asked[start : start + ITEMS_OF_A_REQUEST]
                for start in range(0, count, ITEMS_OF_A_REQUEST)
            ]
            texts = [json.dumps(pair) for pair in zip(asked, wanted, strict=True)]
            for case, store in stores.items():
                spent[case] += ask(store, texts, befores[case])
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
    kinds = {"zipf": (False, True), "uniform": (False, False), "lists": (True, True)}
    found = {name: measure(*sizes, lists=lists, zipf=zipf) for name, (lists, zipf) in kinds.items()}
    figures = {"snapshot_us": found["zipf"]["snapshot"]["p50_us"], "cases": found}
    rows: list[list[object]] = [
        ["store", *(f"{name} {what}" for name in kinds for what in ("p50 us", "p99"))]
    ]
    for case in found["zipf"]:
        rows.append([case, *(found[name][case][key] for name in kinds for key in ("p50_us", "p99_us"))])
    harness.report("feature_store", figures, rows, options.json)


if __name__ == "__main__":
    main()
