"""Scores and recommendations."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from mamdr.serving.desk import Asked
from mamdr.serving.parts import READER, TheDesk, TheDomain, made, problems
from mamdr.serving.schemas import (
    Recommend,
    Recommended,
    RecommendedAll,
    Recommends,
    Score,
    Scored,
    ScoredAll,
    Scores,
)  # fmt: skip
from mamdr.serving.scorer import Answer, Query

router = APIRouter(prefix="/v1", tags=["ask"], dependencies=READER, responses=problems(404, 409, 503))


@router.post("/domains/{domain}/recommend", response_model=Recommended)
async def recommend(domain: TheDomain, body: Recommend, desk: TheDesk) -> Response:
    """The best of the domain's items for a user. An unknown user is scored as unknown, and flagged."""
    answer = (await desk.answer([_ranking(domain, body)]))[0]
    return made(_recommended(domain, body, answer))


@router.post("/domains/{domain}/score", response_model=Scored)
async def score(domain: TheDomain, body: Score, desk: TheDesk) -> Response:
    """Click probabilities of items for a user. Unknown ones are scored as unknown, and flagged."""
    answer = (await desk.answer([_scoring(domain, body)]))[0]
    return made(_scored(domain, body, answer))


@router.post("/recommend", response_model=RecommendedAll)
async def recommend_all(body: Recommends, desk: TheDesk) -> Response:
    """Several recommendations, in one answer."""
    answers = await desk.answer([_ranking(one.domain, one) for one in body.requests])
    pairs = zip(body.requests, answers, strict=True)
    return made({"responses": [_recommended(one.domain, one, answer) for one, answer in pairs]})


@router.post("/score", response_model=ScoredAll)
async def score_all(body: Scores, desk: TheDesk) -> Response:
    """Several scores, in one answer."""
    answers = await desk.answer([_scoring(one.domain, one) for one in body.requests])
    pairs = zip(body.requests, answers, strict=True)
    return made({"responses": [_scored(one.domain, one, answer) for one, answer in pairs]})


def _ranking(domain: str, body: Recommend) -> Asked:
    query = Query(domain, body.user, None, body.k, body.exclude_seen, body.context)
    return query, body.version


def _scoring(domain: str, body: Score) -> Asked:
    return Query(domain, body.user, body.items, context=body.context), body.version


def _recommended(domain: str, body: Recommend, answer: Answer) -> dict[str, Any]:
    pairs = zip(answer.items, answer.scores, strict=True)
    items = [{"item": item, "score": score} for item, score in pairs]
    return {**_about(domain, body, answer), "items": items}


def _scored(domain: str, body: Score, answer: Answer) -> dict[str, Any]:
    rows = zip(answer.items, answer.scores, answer.known_items, strict=True)
    scores = [{"item": item, "score": score, "known_item": known} for item, score, known in rows]
    return {**_about(domain, body, answer), "scores": scores}


def _about(domain: str, body: Recommend | Score, answer: Answer) -> dict[str, Any]:
    known = answer.known_user
    return {"domain": domain, "version": answer.version, "user": body.user, "known_user": known}
