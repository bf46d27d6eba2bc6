"""Health, readiness and figures of the service itself."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from mamdr.serving.parts import TheDesk, made
from mamdr.serving.schemas import Problem, Ready

router = APIRouter(tags=["service"])


@router.get("/healthz", response_model=Problem)
async def healthz() -> Response:
    """Whether the worker is alive."""
    return made({"detail": "alive"})


@router.get(
    "/readyz", response_model=Ready, responses={503: {"model": Ready, "description": "Nothing serves."}}
)
async def readyz(desk: TheDesk) -> Response:
    """Whether requests are answered; "degraded" when they are, but something is wrong."""
    reasons = await desk.keep(desk.health)
    if not desk.live.versions:
        return made({"status": "unready", "reasons": reasons or ["no version serves"]}, 503)
    return made({"status": "degraded" if reasons else "ready", "reasons": reasons})


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
async def metrics(desk: TheDesk) -> Response:
    """What is counted, for Prometheus."""
    return Response(desk.counted.text(), media_type=CONTENT_TYPE_LATEST)
