"""Versions: which there are, and which serve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from starlette.responses import Response

from mamdr.errors import ConfigError
from mamdr.registry import Pointer
from mamdr.registry.listing import listing
from mamdr.serving.desk import Desk
from mamdr.serving.parts import ADMIN, READER, TheDesk, made, problems
from mamdr.serving.schemas import PointerOut, Promote, VersionsOut

router = APIRouter(prefix="/v1/versions", tags=["versions"], responses=problems(404, 409, 503))


@router.get("", response_model=VersionsOut, dependencies=READER)
async def versions(desk: TheDesk) -> Response:
    """All versions, newest first."""
    return made(await desk.keep(listing, desk.registry, desk.live.pointer))


@router.post("/rollback", response_model=PointerOut, dependencies=ADMIN)
async def rollback(body: Promote, desk: TheDesk) -> Response:
    """Go back to what served before; of a domain, to the version that served it before."""
    pointer = await desk.change(desk.registry.rollback, body.domain)
    return await _changed(desk, pointer, body.domain)


@router.post("/{version}/promote", response_model=PointerOut, dependencies=ADMIN)
async def promote(
    version: Annotated[str, Path(pattern=r"^v[0-9]{5,12}$")], body: Promote, desk: TheDesk
) -> Response:
    """Let a version serve: every domain, or one. No request fails meanwhile, and none is answered by two versions."""
    try:
        desk.registry.path(version)
    except ConfigError as error:
        raise HTTPException(404, str(error)) from None
    pointer = await desk.change(desk.registry.promote, version, body.domain)
    return await _changed(desk, pointer, body.domain)


async def _changed(desk: Desk, pointer: Pointer, domain: str | None) -> Response:
    await desk.refresh()
    if desk.live.pointer.generation < pointer.generation:
        reason = desk.faults.get("registry", "the registry cannot be read")
        raise HTTPException(409, f"the pointer is changed, but this worker serves on as before: {reason}")
    return made(
        {
            "generation": pointer.generation,
            "serving": pointer.placement.serving,
            "domain": domain,
            "version": pointer.placement.of(domain) if domain else pointer.placement.serving,
        }
    )
