"""What the service takes and gives, as OpenAPI tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_TEXT = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200)]
_NUMBER = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Id = Annotated[_TEXT | _NUMBER, Field(description='Text, or an integer; 17 and "17" mean the same.')]
Domain = Annotated[_TEXT, Field(description="A domain's id.", examples=["books"])]
VersionName = Annotated[str, StringConstraints(strict=True, pattern=r"^v[0-9]{5,12}$")]
Context = Annotated[
    dict[_TEXT, str | int | float | bool | list[str | int] | None],
    Field(max_length=64, description="Values of the context's features by column, such as context:hour."),
]
Share = Annotated[float, Field(gt=0, le=1)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Ask(_Body):
    user: Annotated[Id, Field(examples=["u1"])]
    version: Annotated[
        VersionName | None, Field(description="One that serves; by default the pointer's, or the split's.")
    ] = None
    context: Context | None = None


class Recommend(_Ask):
    """Ask for the best items of a domain for a user."""

    k: Annotated[int, Field(strict=True, ge=1, le=1000, description="How many.")] = 10
    exclude_seen: Annotated[bool, Field(strict=True, description="Leave out what the user has seen.")] = True
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user": "u1", "k": 10, "exclude_seen": True}]}
    )


class Score(_Ask):
    """Ask for the click probabilities of items for a user."""

    items: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"user": "u1", "items": ["i1", "i2"]}]}
    )


class RecommendIn(Recommend):
    """The same, of a domain that is named here."""

    domain: Domain
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"domain": "books", "user": "u1", "k": 10}]}
    )


class ScoreIn(Score):
    """The same, of a domain that is named here."""

    domain: Domain
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"domain": "books", "user": "u1", "items": ["i1"]}]}
    )


class Recommends(_Body):
    """Several at once; of one domain they are scored together."""

    requests: Annotated[list[RecommendIn], Field(min_length=1, max_length=256)]


class Scores(_Body):
    """Several at once; of one domain they are scored together."""

    requests: Annotated[list[ScoreIn], Field(min_length=1, max_length=256)]


class RankedItem(BaseModel):
    """An item and its click probability."""

    item: Id
    score: float


class Recommended(BaseModel):
    """The best first. All come from one version."""

    domain: str
    version: str
    user: Id
    known_user: bool
    items: list[RankedItem]


class ScoredItem(RankedItem):
    """An item, its click probability, and whether training knew it."""

    known_item: bool


class Scored(BaseModel):
    """In the order of the request. All come from one version."""

    domain: str
    version: str
    user: Id
    known_user: bool
    scores: list[ScoredItem]


class RecommendedAll(BaseModel):
    """In the order of the requests."""

    responses: list[Recommended]


class ScoredAll(BaseModel):
    """In the order of the requests."""

    responses: list[Scored]


Phase = Literal["trained", "collecting", "queued", "training", "live", "rejected", "failed"]


class DomainOut(BaseModel):
    """A domain. What is not known is null.

    phase: "trained" with the version that serves all domains; else how far a domain is that came later: "collecting",
    "queued", "training", "live" (its own part serves), "rejected" (shared serves), "failed".
    """

    domain: str
    name: str
    phase: Phase
    version: str | None
    split: dict[str, Any] | None = None
    rows: int | None = None
    positives: int | None = None
    users: int | None = None
    items: int | None = None
    auc: Annotated[float | None, Field(description="On validation rows, of what serves.")] = None


class DomainsOut(BaseModel):
    """A page of domains, of `total` that the filter leaves."""

    total: int
    offset: int
    domains: list[DomainOut]


class PutDomain(_Body):
    """What a domain is called, for people."""

    name: Annotated[str | None, StringConstraints(min_length=1, max_length=200)] = None
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Garden furniture"}]})


class Interaction(_Body):
    """What a user did with an item. Without labels each is a positive, and negatives are drawn."""

    user: Id
    item: Id
    label: Annotated[int | None, Field(strict=True, ge=0, le=1)] = None
    timestamp: Annotated[int | None, Field(strict=True, ge=-(2**53), le=2**53)] = None


class Interactions(_Body):
    """Interactions of a domain that came after training; all with labels or none."""

    interactions: Annotated[list[Interaction], Field(min_length=1, max_length=50_000)]
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"interactions": [{"user": "u1", "item": "i1"}]}]}
    )


class Onboarding(BaseModel):
    """How far a domain's joining is, and what the gate compared: AUCs by "own" and "shared"."""

    domain: str
    phase: Phase
    deliveries: int
    round: int
    rounds: int
    figures: dict[str, Any]
    version: str | None
    reason: str


class Accepted(BaseModel):
    """Interactions that are kept, on disk."""

    domain: str
    accepted: int
    delivery: int
    phase: Phase


class VersionOut(BaseModel):
    """A published version. `serving` tells whether it answers for every domain that has none of its own."""

    version: str
    kind: Literal["full", "domain"]
    domain: str | None
    base: str | None
    created: str
    run: str
    model: str
    strategy: str
    data: dict[str, str]
    serving: bool
    domains: Annotated[list[str], Field(description="That it answers for by name; the first 100.")]
    metrics: dict[str, Any]
    fault: str | None


class VersionsOut(BaseModel):
    """All versions, newest first."""

    generation: int
    serving: str | None
    versions: list[VersionOut]


class Promote(_Body):
    """Which domain; without one, all."""

    domain: Domain | None = None
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})


class PointerOut(BaseModel):
    """What serves after a change."""

    generation: int
    serving: str | None
    domain: str | None
    version: str | None


class PutSplit(_Body):
    """Another version for a share of a domain's users; share 0 ends it."""

    version: VersionName
    share: Annotated[float, Field(ge=0, le=1)]
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"version": "v00002", "share": 0.1}]}
    )


class Event(_Body):
    """What a user was shown, or clicked."""

    id: Annotated[_TEXT, Field(description="Of the event; one that comes again is kept once.")]
    type: Literal["exposure", "click"]
    domain: Domain
    user: Id
    item: Id
    version: VersionName
    timestamp: Annotated[
        int | None, Field(strict=True, ge=0, le=2**53, description="Seconds since 1970.")
    ] = None


class Events(_Body):
    """Events, kept as the next training's log."""

    events: Annotated[list[Event], Field(min_length=1, max_length=10_000)]


class EventsKept(BaseModel):
    """How many are on disk now."""

    accepted: int


class Problem(BaseModel):
    """What went wrong."""

    detail: str


class Invalid(BaseModel):
    """What is wrong with a request: in one line, or place by place where its form is wrong."""

    detail: str | list[dict[str, Any]]


class Ready(BaseModel):
    """Whether requests are answered, and what is wrong."""

    status: Literal["ready", "degraded", "unready"]
    reasons: list[str]
