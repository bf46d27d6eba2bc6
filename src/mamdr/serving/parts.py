"""What routes share: who may call them, the id in a path, and the errors that they tell OpenAPI of."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import Depends, HTTPException, Path, Request, Security
from fastapi.security import HTTPBearer
from starlette.responses import Response

from mamdr.serving.desk import Desk
from mamdr.serving.schemas import Invalid, Problem

_bearer = HTTPBearer(auto_error=False, description="A key, as `mamdr keys` makes them.")
_SAID = {
    400: "The request is no request.",
    401: "No key, or a wrong one.",
    403: "The key's role may not do this.",
    404: "What the path names is not there.",
    409: "It cannot be done as things stand.",
    413: "The body is too large.",
    429: "Too many requests for this key.",
    503: "Too busy, too late, or not ready.",
}


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, beside those that every one of them may answer."""
    told: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem, "description": _SAID[code]} for code in (400, 401, 403, 413, 429, *codes)
    }
    return told | {422: {"model": Invalid, "description": "Something in the request is wrong."}}


def desk_of(request: Request) -> Desk:
    """The worker's desk."""
    desk: Desk = request.app.state.desk
    return desk


def _admin(request: Request) -> None:
    if request.state.caller.role != "admin":
        raise HTTPException(403, "the key's role is reader; this takes an admin's")


def _domain(
    domain: Annotated[str, Path(min_length=1, description="The domain's id, percent-encoded.")],
) -> str:
    try:
        found = unquote(domain, errors="strict")
    except UnicodeDecodeError:
        raise HTTPException(404, "the domain in the path is no UTF-8") from None
    return found


TheDesk = Annotated[Desk, Depends(desk_of)]
TheDomain = Annotated[str, Depends(_domain)]
READER = [Security(_bearer)]
ADMIN = [Security(_bearer), Depends(_admin)]


def made(value: Any, code: int = 200) -> Response:
    """An answer that is known to be of its form: written without another look at each of its values."""
    return Response(json.dumps(value).encode(), code, media_type="application/json")
