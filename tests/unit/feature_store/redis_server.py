"""A Redis of the tests' own, on a socket in a folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest


class RedisServer:
    """Started at once, and again after `kill`; what it was told is on disk when it has answered."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("redis")
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        self.folder = folder
        self.url = f"unix://{folder}/s"
        self.start()

    def start(self) -> None:
        words = ["redis-server", "--port", "0", "--unixsocket", f"{self.folder}/s", "--dir", str(self.folder)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.process = subprocess.Popen([*words, *durable], stdout=subprocess.DEVNULL)
        from redis import Redis, RedisError

        for _ in range(200):
            try:
                Redis.from_url(self.url).ping()
                return
            except (RedisError, OSError):  # it begins, or reads what it had
                time.sleep(0.05)
        raise AssertionError("Redis did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
