"""What every request passes before a route sees it: its size, its key, its rate; and what is told of it afterwards.

Plain ASGI, in one layer, as each layer of a framework's middleware would cost more than all of this.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from mamdr.serving.keys import Caller, Keys
from mamdr.serving.limits import Rate
from mamdr.serving.log import log
from mamdr.serving.metrics import Counted

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")
"""Paths that ask for no key: what a load balancer, Prometheus and a reader of the contract look at."""


class Gate:
    """Wraps an application.

    Args:
        app: the application.
        keys: whom to let in.
        rate: how often each may ask.
        largest: bytes of a body.
        counted: where requests are counted.
        quiet: tell of failures alone.
    """

    def __init__(
        self, app: App, keys: Keys, rate: Rate, largest: int, counted: Counted, *, quiet: bool = False
    ) -> None:
        self.app, self.keys, self.rate, self.largest = app, keys, rate, largest
        self.counted, self.quiet = counted, quiet
        self._too_large = f"the body is larger than {largest} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, told = time.perf_counter(), _Told(send)
        _keep_encoded(scope)
        caller = None
        try:
            if scope["path"] in _OPEN:
                await self.app(scope, receive, told)
            else:
                caller = self.keys.caller(_header(scope, b"authorization"))
                await self._checked(scope, receive, told, caller)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets an answer and the log its traceback)
            log("error", error=type(error).__name__, traceback=traceback.format_exc())
            if not told.status:
                await _say(told, 500, "something went wrong here")
        finally:
            self._tell(scope, told.status, time.perf_counter() - begun, caller)

    async def _checked(self, scope: Scope, receive: Receive, send: Send, caller: Caller | None) -> None:
        if caller is None:
            found = "the key is wrong" if _header(scope, b"authorization") else "no key"
            headers = [(b"www-authenticate", b"Bearer")]
            await _say(send, 401, f"{found}; send Authorization: Bearer KEY", headers)
            return
        wait = self.rate.wait(caller.name)
        if wait:
            again = str(max(1, round(wait))).encode()
            await _say(send, 429, "too many requests for this key", [(b"retry-after", again)])
            return
        length = _header(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length) > self.largest:
            await _say(send, 413, self._too_large)
            return
        scope["state"] = {**scope.get("state", {}), "caller": caller}
        await self.app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        """Reads that stop at the largest body, whatever its length was said to be."""
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.largest:
                raise HTTPException(413, self._too_large)
            return message

        return limited

    def _tell(self, scope: Scope, status: int, seconds: float, caller: Caller | None) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self.counted.requests.labels(route, str(status)).inc()
        self.counted.seconds.labels(route).observe(seconds)
        if not self.quiet or status >= 500:
            log(
                "request",
                method=scope["method"],
                route=route,
                status=status,
                ms=round(seconds * 1000, 2),
                key=caller.name if caller else None,
            )


class _Told:
    """Sends on, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _keep_encoded(scope: Scope) -> None:
    """Let routes see the path as it was sent, so that an encoded slash in an id is no slash between names."""
    raw = scope.get("raw_path")
    if raw:
        scope["path"] = raw.split(b"?", 1)[0].decode("latin-1")


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


async def _say(
    send: Send, status: int, detail: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps({"detail": detail}).encode()
    about = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*about, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
