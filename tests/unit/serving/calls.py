"""A service in a thread of this process, called over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
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
def serving(shop: Shop, *, keys: bool = False, **changes: Any) -> Iterator[httpx.Client]:
    """A client of a service on a shop."""
    held = Keys.load(keys_file(shop.folder)) if keys else Keys({})
    app = create(options_of(shop, **changes), held)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
