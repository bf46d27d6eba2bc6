"""One shop for all tests that do it no harm, and a service on a copy of it."""

from __future__ import annotations

import pytest
from tests.unit.registry.shop import Shop, open_shop

for extra in ("fastapi", "httpx", "lmdb", "prometheus_client"):
    pytest.importorskip(extra)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def mine(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A copy for the tests of one file."""
    return shop.copy(tmp_path_factory.mktemp("mine") / "shop")
