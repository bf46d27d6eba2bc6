"""Domains: which there are, and new ones."""

from __future__ import annotations

from typing import Annotated, Literal

import polars as pl
from fastapi import APIRouter, HTTPException, Query
from starlette.responses import Response

from mamdr.errors import CheckpointError, ConfigError
from mamdr.registry import Split
from mamdr.registry.newcomers import Newcomer, Status, advanced, check_id
from mamdr.serving.catalogue import UnknownDomainError, base_of
from mamdr.serving.desk import Desk
from mamdr.serving.directory import Sort
from mamdr.serving.parts import ADMIN, READER, TheDesk, TheDomain, made, problems
from mamdr.serving.schemas import (
    Accepted,
    DomainOut,
    DomainsOut,
    Interactions,
    Onboarding,
    PutDomain,
    PutSplit,
)  # fmt: skip

router = APIRouter(prefix="/v1/domains", tags=["domains"], responses=problems(404, 409, 503))


@router.get("", response_model=DomainsOut, dependencies=READER)
async def domains(
    desk: TheDesk,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    sort: Sort = "domain",
    order: Literal["asc", "desc"] = "asc",
    q: Annotated[str, Query(max_length=200, description="Part of an id or a name.")] = "",
) -> Response:
    """A page of the domains."""
    live = desk.live

    def page() -> dict[str, object]:
        total, rows = desk.directory.page(
            live, offset=offset, limit=limit, sort=sort, descending=order == "desc", search=q
        )
        return {"total": total, "offset": offset, "domains": rows}

    return made(await desk.keep(page))


@router.get("/{domain}", response_model=DomainOut, dependencies=READER)
async def domain(domain: TheDomain, desk: TheDesk) -> Response:
    """A domain."""
    found = await desk.keep(desk.directory.one, desk.live, domain)
    if found is None:
        raise _unknown(domain)
    return made(found)


@router.put(
    "/{domain}",
    response_model=DomainOut,
    status_code=201,
    dependencies=ADMIN,
    responses={200: {"model": DomainOut, "description": "It was there already."}},
)
async def put_domain(domain: TheDomain, body: PutDomain, desk: TheDesk) -> Response:
    """Add a domain (201), or give one that is there a name (200). It is served by shared parameters from then on."""
    check_id(domain, "domain")
    there = desk.live.holds(domain)
    await desk.keep(desk.newcomers.put, domain, body.name)
    await desk.refresh()
    found = await desk.keep(desk.directory.one, desk.live, domain)
    if found is None:  # nothing serves yet, and so nobody knows any domain
        raise CheckpointError("no version serves yet", "one", "Promote one: `mamdr promote VERSION`")
    return made(found, 200 if there else 201)


@router.post("/{domain}/interactions", response_model=Accepted, status_code=202, dependencies=ADMIN)
async def interactions(domain: TheDomain, body: Interactions, desk: TheDesk) -> Response:
    """Give interactions of an added domain. They are on disk when this answers; training follows in the background."""
    newcomer = await desk.keep(desk.newcomers.find, domain)
    serving = desk.live.versions.get(desk.live.pointer.placement.serving or "")
    if serving is not None and domain in base_of(serving).numbers:
        raise HTTPException(409, "the version that serves was trained on this domain; post events instead")
    if newcomer is None:
        raise _unknown(domain)
    table = _table(domain, body)
    delivery, status = await desk.keep(_kept, desk, newcomer, table)
    await desk.wake()
    said = {"domain": domain, "accepted": len(table), "delivery": delivery, "phase": status.phase}
    return made(said, 202)


@router.get("/{domain}/onboarding", response_model=Onboarding, dependencies=READER)
async def onboarding(domain: TheDomain, desk: TheDesk) -> Response:
    """How far the joining of a domain is."""
    newcomer = await desk.keep(desk.newcomers.find, domain)
    if newcomer is not None:
        return made(_onboarding(domain, newcomer.status()))
    if not desk.live.holds(domain):
        raise _unknown(domain)
    return made({**_onboarding(domain, Status()), "phase": "trained"})


@router.put("/{domain}/split", response_model=DomainOut, dependencies=ADMIN)
async def split(domain: TheDomain, body: PutSplit, desk: TheDesk) -> Response:
    """Let another version answer for a share of the domain's users, chosen by a hash of the user."""
    if not desk.live.holds(domain):
        raise _unknown(domain)
    wanted = Split(body.version, body.share) if body.share else None
    try:
        await desk.change(desk.registry.split, domain, wanted)
    except ConfigError as error:
        raise HTTPException(404, str(error)) from None
    await desk.refresh()
    return made(await desk.keep(desk.directory.one, desk.live, domain))


def _table(domain: str, body: Interactions) -> pl.DataFrame:
    rows = body.interactions
    labelled = {row.label is not None for row in rows}
    if len(labelled) > 1:
        raise HTTPException(422, "some interactions have a label and some have none; label all or none")
    for row in rows:
        check_id(str(row.user), "user")
        check_id(str(row.item), "item")
    columns = {
        "user_id": [str(row.user) for row in rows],
        "item_id": [str(row.item) for row in rows],
        "domain": [domain] * len(rows),
        "timestamp": [row.timestamp for row in rows],
    }
    schema = dict.fromkeys(("user_id", "item_id", "domain"), pl.String) | {"timestamp": pl.Int64}
    table = pl.DataFrame(columns, schema=schema)
    return (
        table.with_columns(label=pl.Series([r.label for r in rows], dtype=pl.Int8))
        if True in labelled
        else table
    )


def _kept(desk: Desk, newcomer: Newcomer, table: pl.DataFrame) -> tuple[int, Status]:
    """Keep a delivery: for training, and in the storages, so that its items can be recommended at once."""
    before = newcomer.deliveries()
    if before:
        labelled = "label" in pl.read_parquet_schema(before[0])
        if labelled != ("label" in table.columns):
            raise HTTPException(409, "earlier interactions of this domain "
                                + ("have labels" if labelled else "have none") + "; give all alike")  # fmt: skip
    for store in desk.updatable():  # first, as a storage may refuse ids of another kind than the data's
        store.observe(table.drop("timestamp"))
    delivery = newcomer.add(table)
    status = newcomer.status()
    if status.phase != "training":
        status = advanced(status, phase="queued", attempts=0)
        newcomer.tell(status)
    return delivery, status


def _onboarding(domain: str, status: Status) -> dict[str, object]:
    said = {name: value for name, value in vars(status).items() if name != "attempts"}
    return {"domain": domain, **said}


def _unknown(domain: str) -> UnknownDomainError:
    return UnknownDomainError(f"no domain is named {domain[:80]!r}", "one that is known", "See /v1/domains")
