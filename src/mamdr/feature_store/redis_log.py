"""The log of several machines: a stream of Redis or Valkey."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from mamdr.errors import ConfigError, ServiceError
from mamdr.feature_store.log import News

TIMEOUT = 0.5
"""Seconds after which Redis counts as away."""


class RedisLog:
    """Entries of a stream, under the positions that Redis gives them, which go up even when its clock goes back.

    How durable an append is, is Redis's to say: `appendonly yes` and `appendfsync always` make it as durable as LMDB's.

    Args:
        url: such as redis://host:6379/0 or unix:///run/redis.sock.
        name: of the stream; one store, one name.
        max_age: seconds for which what was read counts as fresh, >= 0; with 0 every read of the store asks Redis.
        clock: seconds that never go back.

    Raises: ConfigError where the extra is not installed, or for a URL that is none.
    """

    def __init__(
        self, url: str, name: str, max_age: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            import redis
        except ImportError as error:
            raise ConfigError(
                "a feature store in Redis without its client",
                "the extra `serve`",
                "pip install 'mamdr[serve]'",
            ) from error
        self._redis, self.url, self._max_age, self._clock = redis, url, max_age, clock
        self._stream, self._meta = f"mamdr:{name}:log", f"mamdr:{name}:meta"
        self._read_at = -float("inf")
        try:
            self._client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        except ValueError as error:
            raise ConfigError(
                f"a Redis at {url!r}", "redis://... or unix://...", "Correct the URL"
            ) from error

    def changed(self) -> bool:
        return self._clock() - self._read_at >= self._max_age

    def read(self, after: str) -> News:
        asked_at = self._clock()
        epoch, (base,), entries = self._ask(
            lambda pipe: (
                pipe.hget(self._meta, "epoch"),
                pipe.hmget(self._meta, ["base"]),
                pipe.xrange(self._stream, min=f"({_stream(after)}" if after else "-"),
            )
        )
        self._read_at = asked_at
        found = [(_position(identity), fields[b"c"]) for identity, fields in entries]
        return News((epoch or b"").decode(), (base or b"").decode(), found)

    def append(self, entries: Sequence[bytes]) -> None:
        def add(pipe: Any) -> None:
            pipe.hsetnx(self._meta, "epoch", uuid.uuid4().hex)
            for entry in entries:
                pipe.xadd(self._stream, {"c": entry})

        self._ask(add)

    def drop(self, until: str, base: str) -> None:
        def forget(pipe: Any) -> None:
            pipe.hset(self._meta, "base", base)
            if until:
                milliseconds, number = _stream(until).split("-")
                pipe.xtrim(self._stream, minid=f"{milliseconds}-{int(number) + 1}", approximate=False)

        self._ask(forget)

    def close(self) -> None:
        self._client.close()

    def _ask(self, commands: Callable[[Any], object]) -> Any:
        """One transaction, in one round trip."""
        try:
            with self._client.pipeline(transaction=True) as pipe:
                commands(pipe)
                return pipe.execute()
        except (self._redis.RedisError, OSError) as error:
            reason = str(error).split("\n", 1)[0].rstrip(".")
            raise ServiceError(
                f"Redis at {self.url} does not answer ({reason})",
                "a Redis that takes commands",
                "Start it, or serve without updates",
            ) from error


def _position(identity: bytes) -> str:
    """A stream's position as text that sorts."""
    milliseconds, number = identity.decode().split("-")
    return f"{int(milliseconds):020d}-{int(number):020d}"


def _stream(position: str) -> str:
    """Back again."""
    return "-".join(str(int(part)) for part in position.split("-"))
