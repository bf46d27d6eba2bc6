"""The service over HTTP. `create` makes a worker's application; uvicorn calls `from_environment` in each of them."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import mamdr
from mamdr.errors import CheckpointError, MamdrError, ServiceError
from mamdr.serving import routes_ask, routes_domains, routes_events, routes_service, routes_versions
from mamdr.serving.catalogue import UnknownDomainError, UnknownVersionError
from mamdr.serving.desk import Desk, TooBusyError
from mamdr.serving.gate import Gate
from mamdr.serving.keys import Keys
from mamdr.serving.limits import Rate
from mamdr.serving.log import log
from mamdr.serving.options import ServeOptions
from mamdr.serving.scorer import TooLateError

_CODES: list[tuple[type[MamdrError], int]] = [
    (UnknownDomainError, 404),
    (UnknownVersionError, 404),
    (TooBusyError, 503),
    (TooLateError, 503),
    (ServiceError, 503),
    (CheckpointError, 409),
    (MamdrError, 422),
]


def create(options: ServeOptions, keys: Keys) -> FastAPI:
    """A worker's application.

    Raises: CheckpointError, DataError for a registry or a storage that cannot be opened.
    """
    desk = Desk(options)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await desk.start()
        log("started", workers=options.workers, keys=len(keys))
        yield
        await desk.stop()
        log("stopped")

    app = FastAPI(
        title="mamdr",
        version=mamdr.__version__,
        summary="Scores and recommendations for many domains, each by its own parameters.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk = desk
    for routes in (routes_ask, routes_domains, routes_versions, routes_events, routes_service):
        app.include_router(routes.router)
    app.add_exception_handler(MamdrError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    rate = Rate(options.rate / options.workers, options.burst / options.workers)
    app.add_middleware(
        Gate, keys=keys, rate=rate, largest=options.body_kb << 10, counted=desk.counted, quiet=not options.log
    )
    return app


def from_environment() -> FastAPI:
    """What `mamdr serve` lets uvicorn call in each worker."""
    import torch

    torch.set_num_threads(1)  # a worker scores by one thread; more workers use more cores
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    options = ServeOptions.from_environment()
    return create(options, Keys.load(options.keys_file))


async def _failed(request: Request, error: Exception) -> Response:
    """An error of ours, as its code and its one line."""
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    if isinstance(error.__cause__, OSError):  # a disk that is full or gone: the request was right
        code = 503
    headers = {"retry-after": "1"} if code == 503 else None
    return _json({"detail": str(error)}, code, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """A request of the wrong form: where and why, without what was sent (which need not even be text)."""
    assert isinstance(error, RequestValidationError)
    told = [
        {"loc": [str(part)[:100] for part in e["loc"]], "msg": e["msg"][:300], "type": e["type"]}
        for e in error.errors()[:20]
    ]
    return _json({"detail": told}, 422)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"detail": error.detail}, error.status_code, error.headers)


def _json(value: Any, code: int, headers: Any = None) -> Response:
    return Response(json.dumps(value).encode(), code, headers, "application/json")
