"""Every builder from raw files in the true formats to the table of an experiment, the same on every run of one seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.commands import good
from tests.unit.data import raw, raw_public

from mamdr.data.catalog import SOURCES
from mamdr.data.domains import Dataset


def _amazon(folder: Path) -> Path:
    return raw.amazon(folder, SOURCES["amazon-13"].categories, reviews=60)


def _taobao(themes: int) -> Callable[[Path], Path]:
    return lambda folder: raw.taobao(folder, themes=themes, clicks=60 * themes)


RAW: dict[str, Callable[[Path], Path]] = {
    "ali-ccp": raw_public.aliccp,
    "aliexpress": raw_public.aliexpress,
    "amazon": _amazon,
    "amazon-6": _amazon,
    "amazon-13": _amazon,
    "authors": raw.authors,
    "ciao": raw_public.ciao,
    "kuairand": raw_public.kuairand,
    "movielens-1m": raw_public.movielens,
    "taobao": _taobao(4),
    "taobao-10": _taobao(12),
    "taobao-20": _taobao(20),
    "taobao-30": _taobao(30),
}
SMALL = (
    *("--rows", "mlp", "--columns", "alternate,mamdr", "--seeds", "1", "--set", "model.embedding=4"),
    *("--set", "model.hidden=[8]", "--set", "walk.batch_size=64", "--set", "train.rounds=1"),
    *("--set", "mamdr:strategy.num_helpers=1"),
)


def _table(folder: Path, out: str) -> dict[str, Any]:
    """What the experiment found, without the seconds that it took."""
    made: dict[str, Any] = json.loads((folder / out / "table-10.json").read_text())
    for entry in made["entries"]:
        entry.pop("seconds")
    return made


def test_every_builder_is_here() -> None:
    assert set(RAW) == set(SOURCES)


@pytest.mark.parametrize("name", RAW)
def test_raw_files_become_the_same_table_each_time(tmp_path: Path, name: str) -> None:
    RAW[name](tmp_path / "raw")
    seed = () if name == "authors" else ("--seed", "3")
    for turn in ("one", "two"):
        good("data", "build", name, "--raw", "raw", "--out", f"data-{turn}", *seed, folder=tmp_path)
        words = ("experiment", "table-10", "--data", f"data-{turn}", "--out", turn)
        good(*words, *SMALL, folder=tmp_path)
    one = _table(tmp_path, "one")
    assert one == _table(tmp_path, "two")
    assert (tmp_path / "one/table-10.csv").read_bytes() == (tmp_path / "two/table-10.csv").read_bytes()
    assert [entry["column"] for entry in one["entries"]] == ["alternate", "mamdr"]
    assert all(0 <= entry["test"]["mean"] <= 1 for entry in one["entries"])
    if name.startswith("taobao-"):
        data = Dataset.load(tmp_path / "data-one")
        assert len(data.schema.domains) == int(name.removeprefix("taobao-"))
        assert set(data.schema.vectors) == {"user_id", "item_id"}
