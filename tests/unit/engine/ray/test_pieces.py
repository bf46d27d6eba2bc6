"""Buckets, shards, the remote store and its traffic, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mamdr.engine import trace
from mamdr.engine.ray import slices
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.here import HerePeer
from mamdr.engine.ray.manifest import Manifest, clear, round_folder
from mamdr.engine.ray.shard import Job, Shard
from mamdr.engine.ray.store import RemoteStore, Shards
from mamdr.engine.ray.trainer import owners
from mamdr.engine.ray.worker import skeleton
from mamdr.errors import CheckpointError, ConfigError
from mamdr.parameters import LocalStore, Moments, Point, Space, Store
from mamdr.parameters.outer import Adagrad
from mamdr.testing import StoreConformance, TwoTables, tiny_market


def remote(module: TwoTables, space: Space, folder: Path, shards: int = 2, keep_rows: int = 0) -> RemoteStore:
    """A store over shards in this process that hold the module's values."""
    local, none = LocalStore.of(module, space), torch.empty(0)
    slices.save(folder, "dense", [], local.dense, [], Moments())
    slices.save(folder, "rows", space.all_ids(), none, local.tables, Moments())
    buckets = Buckets(12, shards)
    peers = []
    for index in ("dense", *range(shards)):
        shard = Shard(Job(space, buckets, index))  # type: ignore[arg-type]
        shard.load(folder, ["dense", "rows"])
        peers.append(HerePeer(str(index), 0, shard))
    return RemoteStore(space, buckets, Shards(peers[0], list(peers[1:])), keep_rows)


class _Remote(StoreConformance):
    keep_rows = 0
    shards = 2

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def store(self, module: TwoTables, space: Space) -> Store:
        return remote(module, space, self.folder, self.shards, self.keep_rows)


class TestRemoteStore(_Remote):
    pass


class TestOneShard(_Remote):
    shards = 1


class TestManyShards(_Remote):
    shards = 12


class TestKeepingRows(_Remote):
    keep_rows = 15


def _store(folder: Path, **settings: int) -> RemoteStore:
    module = TwoTables()
    return remote(module, Space.of(module), folder, **settings)


def _ids(*rows: list[int]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(each, dtype=torch.int64) for each in rows)


def test_buckets_are_even_and_the_same_for_any_number_of_shards() -> None:
    ids = torch.arange(100_000)
    counts = torch.bincount(Buckets(960, 1).of(0, ids), minlength=960)
    assert 60 < int(counts.min()) <= int(counts.max()) < 160
    assert not torch.equal(Buckets(960, 1).of(0, ids), Buckets(960, 1).of(1, ids))
    fine, coarse = (Buckets(960, shards).shard_of(0, ids) for shards in (6, 3))
    assert torch.equal(fine // 2, coarse)


def test_shards_that_do_not_divide_the_buckets() -> None:
    with pytest.raises(ConfigError, match=r"7 shards for 960 buckets.*Take 5, 6, 8 shards"):
        Buckets(960, 7)


def test_domains_are_dealt_by_rows() -> None:
    owner = owners([100, 10, 60, 50, 0], 2)
    assert [
        sum(size for size, o in zip([100, 10, 60, 50, 0], owner, strict=True) if o == w) for w in (0, 1)
    ] == [
        110,
        110,
    ]


def test_traffic_counts_what_moves_and_what_is_kept(tmp_path: Path) -> None:
    store = _store(tmp_path, keep_rows=20)
    store.pull(_ids([1, 4, 22], [0]))
    store.pull(_ids([1, 5], [0]))
    traffic = store.traffic
    assert (traffic.hits, traffic.misses, traffic.rows_pulled) == (2, 5, 5)
    values = store.space.dense_size + 5 * 4  # the dense part once, and five rows of four
    assert traffic.bytes_pulled == 4 * values + 8 * 5
    store.forget()
    store.pull(_ids([1], []))
    assert traffic.misses == 6
    store.stage((0, 1), 0, Point.zeros(store.space, _ids([2, 3], [])))
    assert (traffic.rows_pushed, traffic.bytes_pushed) == (2, 4 * (store.space.dense_size + 8) + 16)


def test_staging_and_committing_again_changes_nothing(tmp_path: Path) -> None:
    store, space = _store(tmp_path), _store(tmp_path).space
    moved = [Point.zeros(space, _ids([1, 2], [])), Point.zeros(space, _ids([2, 3], []))]
    for number, point in enumerate(moved, start=1):
        point.flat.fill_(float(number))
    before = store.pull(_ids([1, 2, 3, 4], [])).rows(0)
    for unit, point in (*enumerate(moved), (0, moved[0])):
        store.stage((0, 1), unit, point)
    for _ in range(2):
        assert store.commit((0, 1), [0, 1], "mean", 1.0, frozenset()) == set()
        store.stage((0, 1), 0, moved[1])  # too late
    after = store.pull(_ids([1, 2, 3, 4], [])).rows(0)
    assert (after - before).mean(1).tolist() == pytest.approx([1.0, 1.5, 2.0, 0.0], abs=1e-6)


def test_a_commit_with_a_unit_missing_is_told(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.stage((0, 1), 0, Point.zeros(store.space, _ids([1], [])))
    assert store.commit((0, 1), [0, 1], "mean", 1.0, frozenset()) == {1}


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_of_any_number_read_what_others_wrote(tmp_path: Path, shards: int) -> None:
    store = _store(tmp_path / "a", shards=2)
    (tmp_path / "b").mkdir()
    displacement = Point.zeros(store.space, _ids([1, 2, 9], [3]))
    displacement.flat.normal_(generator=torch.Generator().manual_seed(1))
    store.stage((0, 1), 0, displacement)
    store.commit((0, 1), [0], "mean", Adagrad(), frozenset())
    names = ["dense.safetensors", "rows-0.safetensors", "rows-1.safetensors"]
    for peer, name in zip(store.at.all, names, strict=True):
        peer.ask("save", tmp_path / "b", name).get()
    again = []
    for index in ("dense", *range(shards)):
        shard = Shard(Job(store.space, Buckets(12, shards), index))  # type: ignore[arg-type]
        shard.load(tmp_path / "b", names)
        assert shard.moments.step == 1
        again.append(HerePeer(str(index), 0, shard))
    other = RemoteStore(store.space, Buckets(12, shards), Shards(again[0], list(again[1:])))
    every = store.space.all_ids()
    assert torch.equal(store.pull(every).flat, other.pull(every).flat)


def test_a_manifest_counts_only_when_all_is_there(tmp_path: Path) -> None:
    folder = round_folder(tmp_path, 3)
    folder.mkdir()
    with pytest.raises(CheckpointError, match="no finished checkpoint"):
        Manifest.read(folder)
    (folder / "rows").write_bytes(b"12345")
    Manifest(folder, 3, ("rows",), (), ({"name": "rows", "bytes": 5},)).write()
    assert Manifest.read(folder).round == 3
    (folder / "rows").write_bytes(b"123")
    with pytest.raises(CheckpointError, match="cut short"):
        Manifest.read(folder)
    clear(tmp_path, [2])
    assert not folder.exists()


def test_a_skeleton_takes_no_memory_for_tables() -> None:
    module = torch.nn.ModuleDict({"item": torch.nn.Embedding(200_000, 32), "out": torch.nn.Linear(32, 1)})
    before = module["item"].weight.clone()
    assert len(skeleton(module, Space.of(module))) < 100_000
    assert torch.equal(module["item"].weight, before)


def test_a_skeleton_is_traced_as_the_module() -> None:
    import pickle

    module, data = TwoTables(), tiny_market()
    space = trace(module, data.schema)
    assert trace(pickle.loads(skeleton(module, space)), data.schema) == space
