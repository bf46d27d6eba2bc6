"""A service in this process, called without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from tests.unit.registry.shop import Shop

from mamdr.serving.app import create
from mamdr.serving.keys import Keys, line
from mamdr.serving.options import ServeOptions

READER, ADMIN = "r" * 40, "a" * 40
AS_READER, AS_ADMIN = {"Authorization": f"Bearer {READER}"}, {"Authorization": f"Bearer {ADMIN}"}


def options_of(shop: Shop, **changes: Any) -> ServeOptions:
    """Settings for a service on a shop."""
    values: dict[str, Any] = {
        "registry": str(shop.registry.folder),
        "features": (str(shop.features),),
        "events": str(shop.folder / "events"),
        "poll": 60.0,
        "onboard": False,
        "log": False,
        "rate": 0.0,
    }
    return ServeOptions(**{**values, **changes})


def keys_file(folder: Path) -> Path:
    """A file with a reader's key and an admin's."""
    file = folder / "keys.txt"
    file.write_text("\n".join([line("reader", "shop", READER), line("admin", "owner", ADMIN)]))
    return file


@contextmanager
def serving(shop: Shop, *, keys: bool = False, **changes: Any) -> Iterator[TestClient]:
    """A client of a service on a shop."""
    held = Keys.load(keys_file(shop.folder)) if keys else Keys({})
    with TestClient(create(options_of(shop, **changes), held), raise_server_exceptions=False) as client:
        yield client
