"""`mamdr store` and `mamdr events` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.commands import bad, good

from mamdr.serving.events import EventLog
from mamdr.testing.feature_stores import market

pytest.importorskip("lmdb")


def test_a_store_from_data_to_the_next_snapshot(tmp_path: Path) -> None:
    market().save(tmp_path / "data")
    assert "snapshot: 000001" in good("store", "build", "data", "--out", "store", folder=tmp_path)
    pl.DataFrame({"item_id": ["new"], "item:price": [3.0]}).write_parquet(tmp_path / "items.parquet")
    (tmp_path / "seen.csv").write_text("user_id,item_id,domain\nu1,new,fresh\n")
    assert "2 rows" in good("store", "update", "store", "items.parquet", "seen.csv", folder=tmp_path)
    said = json.loads(good("store", "describe", "store", "--json", folder=tmp_path))
    assert said["updates"] == {"users": 0, "items": 1, "domains": 1, "entries": 2}
    assert "stands on snapshot 000002" in good("store", "compact", "store", folder=tmp_path)
    good("store", "export", "store", "--out", "tables", folder=tmp_path)
    assert "new" in pl.read_parquet(tmp_path / "tables" / "items.parquet")["item_id"]
    said = json.loads(good("store", "describe", "store", "--verify", "--json", folder=tmp_path))
    assert (said["snapshot"], said["domains"], said["updates"]["entries"]) == ("000002", 4, 0)
    assert "already exists" in bad("store", "export", "store", "--out", "tables", folder=tmp_path)
    assert "names a snapshot" in bad("store", "describe", "data", folder=tmp_path)


def test_events_become_the_next_data(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "kept")
    base = {"domain": "d", "version": "v"}
    shown = [
        base | {"id": f"e{n}", "type": "exposure", "user": f"u{n % 5}", "item": f"i{n % 7}"}
        for n in range(35)
    ]
    log.append([*shown, *(one | {"id": f"c{one['id']}", "type": "click"} for one in shown[::2])])
    assert "35 rows, 18 clicked" in good("events", "kept", "--out", "log.parquet", folder=tmp_path)
    good("data", "import", "log.parquet", "--out", "next", folder=tmp_path)
    assert "no folder nowhere" in bad("events", "nowhere", "--out", "log.parquet", folder=tmp_path)
