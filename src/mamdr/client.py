"""A client of the service, in one file and of the standard library alone.

    client = Client("http://localhost:8000", key="...")
    for each in client.recommend("books", "u1", k=10)["items"]:
        ...                                                 # {"item": "i7", "score": 0.31}

Answers are the service's own JSON, as Python's values; its OpenAPI says what they hold.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mamdr.errors import ConfigError, ServiceError

Raw = str | int
Answer = dict[str, Any]
_ACTIONS = {
    401: "Give the service's key",
    403: "Use a key with the role that this needs",
    404: "See `domains` and `versions`",
    413: "Send less at a time",
    422: "Correct the request",
    429: "Wait, and send fewer at a time",
    503: "Wait until the service is ready",
}


class Client:
    """Calls of a service. Threads may share one.

    Args:
        url: where it is, such as http://localhost:8000.
        key: of the role that the calls need; "" where the service asks for none.
        timeout: seconds to wait for an answer, > 0.

    Every call raises ServiceError, with the HTTP `status`, when the service refuses (0: when it does not answer).
    """

    def __init__(self, url: str, key: str = "", timeout: float = 10.0) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ConfigError(f"a service at {url!r}", "http://HOST:PORT", "Correct the URL")
        self._url, self._timeout = url.rstrip("/"), timeout
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def recommend(
        self,
        domain: str,
        user: Raw,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        version: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The best items of a domain for a user: domain, version, user, known_user, items of item and score."""
        body = _said(user=user, k=k, exclude_seen=exclude_seen, version=version, context=context)
        return self.call("POST", f"{_domain(domain)}/recommend", body)

    def score(
        self,
        domain: str,
        user: Raw,
        items: Sequence[Raw],
        *,
        version: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Click probabilities of items: domain, version, user, known_user, scores of item, score and known_item."""
        body = _said(user=user, items=list(items), version=version, context=context)
        return self.call("POST", f"{_domain(domain)}/score", body)

    def recommend_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Several recommendations in one call; each request names its `domain`, `user` and so on."""
        answers: list[Answer] = self.call("POST", "/v1/recommend", {"requests": list(requests)})["responses"]
        return answers

    def score_all(self, requests: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Several scores in one call; each request names its `domain`, `user`, `items` and so on."""
        answers: list[Answer] = self.call("POST", "/v1/score", {"requests": list(requests)})["responses"]
        return answers

    def domains(
        self, *, offset: int = 0, limit: int = 50, sort: str = "domain", order: str = "asc", q: str = ""
    ) -> Answer:
        """A page of the domains: total, offset, domains.

        Args:
            sort: by which of their fields; order: "asc" or "desc".
            q: a part of their id or name.
        """
        asked = urlencode({"offset": offset, "limit": limit, "sort": sort, "order": order, "q": q})
        return self.call("GET", f"/v1/domains?{asked}")

    def domain(self, domain: str) -> Answer:
        """One domain."""
        return self.call("GET", _domain(domain))

    def add_domain(self, domain: str, name: str | None = None) -> Answer:
        """Add a domain, which is served at once by the shared parameters."""
        return self.call("PUT", _domain(domain), _said(name=name))

    def interactions(self, domain: str, interactions: Sequence[Mapping[str, Any]]) -> Answer:
        """Give interactions of a new domain: each has `user`, `item`, and maybe `label` and `timestamp`."""
        return self.call(
            "POST", f"{_domain(domain)}/interactions", {"interactions": [dict(each) for each in interactions]}
        )

    def onboarding(self, domain: str) -> Answer:
        """How far a new domain is."""
        return self.call("GET", f"{_domain(domain)}/onboarding")

    def split(self, domain: str, version: str, share: float) -> Answer:
        """Serve a share of a domain's users, in [0, 1], by another version; 0 ends it."""
        return self.call("PUT", f"{_domain(domain)}/split", {"version": version, "share": share})

    def versions(self) -> Answer:
        """The published versions, and which of them serves."""
        return self.call("GET", "/v1/versions")

    def promote(self, version: str, domain: str | None = None) -> Answer:
        """Let a version serve, all domains or one."""
        return self.call("POST", f"/v1/versions/{quote(version, safe='')}/promote", _said(domain=domain))

    def rollback(self, domain: str | None = None) -> Answer:
        """Go back to the version that served before, for all domains or one."""
        return self.call("POST", "/v1/versions/rollback", _said(domain=domain))

    def events(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Keep exposures and clicks; those whose id came before count once, so that a call may be made again.

        Args:
            events: each has `id`, `type` ("exposure" or "click"), `domain`, `user`, `item`, `version`, and maybe
                `timestamp`.

        Returns: how many the service has accepted.
        """
        return int(self.call("POST", "/v1/events", {"events": [dict(each) for each in events]})["accepted"])

    def health(self) -> Answer:
        """Whether the service answers requests, and what is wrong: status, reasons. No error where it is not ready."""
        try:
            return self.call("GET", "/readyz")
        except ServiceError as error:
            if error.status != 503:
                raise
            return {"status": "unready", "reasons": [error.found]}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Any call: the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = self._headers | ({"Content-Type": "application/json"} if data is not None else {})
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as reply:
                answer: Answer = json.loads(reply.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(method, path, error.code, error.read()) from None
        except (OSError, ValueError) as error:  # ValueError: what answers there is no such service
            reason = getattr(error, "reason", error)
            raise ServiceError(
                f"{self._url} does not answer {method} {path} ({reason})",
                "a service that runs there",
                "Start it with `mamdr serve`, or correct the URL",
            ) from error


def _domain(domain: str) -> str:
    return f"/v1/domains/{quote(domain, safe='')}"


def _said(**values: Any) -> dict[str, Any]:
    """What is not None."""
    return {name: value for name, value in values.items() if value is not None}


def _refusal(method: str, path: str, status: int, body: bytes) -> ServiceError:
    """What the service says of a call that it refuses."""
    try:
        detail = json.loads(body)
        detail = detail.get("detail", detail.get("reasons", detail))
    except (ValueError, AttributeError):
        detail = body.decode("utf-8", "replace")[:200] or "no reason"
    error = ServiceError(
        f"{method} {path} was refused with status {status} ({_words(detail)})",
        "a call that the service takes",
        _ACTIONS.get(status, "See the service's log"),
    )
    error.status = status
    return error


def _words(detail: Any) -> str:
    """A reason in one line: text, or places and what is wrong there."""
    if isinstance(detail, list):
        return "; ".join(map(_words, detail))
    if isinstance(detail, dict) and "msg" in detail:
        return f"{'.'.join(map(str, detail.get('loc', ())))}: {detail['msg']}"
    return str(detail).rstrip(".")
