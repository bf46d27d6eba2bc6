"""One shop for all tests that do it no harm."""

from __future__ import annotations

import pytest
from tests.unit.registry.shop import Shop, open_shop

pytest.importorskip("lmdb")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))
