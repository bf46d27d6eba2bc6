"""All stores against the same suites."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.feature_store.redis_server import RedisServer

from mamdr.data.domains import Dataset
from mamdr.feature_store import FeatureStore, UpdatableStore, compact, open_store
from mamdr.feature_store.folder import open_updatable
from mamdr.testing import FeatureStoreConformance, UpdatableStoreConformance


class TestSnapshot(FeatureStoreConformance):
    def store(self, folder: Path) -> FeatureStore:
        return open_store(folder, updates=False)


class TestDataFolder(FeatureStoreConformance):
    """A data folder that is read into memory."""

    def store(self, folder: Path) -> FeatureStore:
        return open_store(folder.parent / "data")


class TestLmdb(UpdatableStoreConformance):
    @pytest.fixture(autouse=True)
    def _lmdb(self) -> None:
        pytest.importorskip("lmdb")

    def store(self, folder: Path) -> UpdatableStore:
        return open_updatable(folder)

    def compact(self, folder: Path) -> str:
        return compact(folder)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        yield server
        server.kill()


class TestRedis(UpdatableStoreConformance):
    @pytest.fixture(autouse=True)
    def _redis(self, redis: RedisServer) -> None:
        self.numbers: dict[Path, int] = {}
        self.url = redis.url
        from redis import Redis

        Redis.from_url(redis.url).flushall()

    def store(self, folder: Path) -> UpdatableStore:
        return open_updatable(folder, redis=self._at(folder))

    def compact(self, folder: Path) -> str:
        return compact(folder, redis=self._at(folder))

    def _at(self, folder: Path) -> str:
        """A database of Redis for each folder: here their snapshots are the same, which would be one store."""
        return f"{self.url}?db={self.numbers.setdefault(folder, len(self.numbers))}"


def test_the_data_of_the_suite_have_every_kind_of_column() -> None:
    from mamdr.testing.feature_stores import market

    data: Dataset = market()
    kinds = {(data.schema.owner(name), data.schema.kind(name)) for name in data.schema.features}
    assert {
        ("user", "list"),
        ("item", "list"),
        ("item", "number"),
        ("context", "category"),
        ("user", "category"),
    } <= kinds
