"""Exposures and clicks, kept as the next training's log."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from mamdr.serving.parts import READER, TheDesk, made, problems
from mamdr.serving.schemas import Events, EventsKept

router = APIRouter(prefix="/v1/events", tags=["events"], responses=problems(409, 503))


@router.post("", response_model=EventsKept, status_code=202, dependencies=READER)
async def events(body: Events, desk: TheDesk) -> Response:
    """Keep events; they are on disk when this answers."""
    if desk.events is None:
        raise HTTPException(409, "this service keeps no events; start it with --events FOLDER")
    told = [{**e.model_dump(), "user": str(e.user), "item": str(e.item)} for e in body.events]
    kept = await desk.keep(desk.events.append, told)
    return made({"accepted": kept}, 202)
