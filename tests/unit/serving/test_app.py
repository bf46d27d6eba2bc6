"""What the service answers, call by call."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.feature_store.redis_server import RedisServer
from tests.unit.registry.shop import Shop, newcomer_rows, shop_train
from tests.unit.serving.calls import AS_ADMIN, AS_READER, serving

from mamdr.registry import publish
from mamdr.registry.add import add_domain
from mamdr.serving.split import assigned
from mamdr.training.joining import JoinOptions

BOOKS = "domain-00000"
ODD = [
    "a/b",
    "..",
    "../../etc/passwd",
    "q\"uo'te",
    "ünï-çødé 日本",
    "100%",
    "a%2Fb",
    "-",
    "name.with.dots",
    "?x=1#y",
]


@pytest.fixture(scope="module")
def client(mine: Shop) -> Iterator[httpx.Client]:
    with serving(mine, keys=True, body_kb=64) as client:
        client.headers.update(AS_ADMIN)
        yield client


def test_recommend_and_score_name_version_and_user(client: httpx.Client) -> None:
    answer = client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "3", "k": 4}).json()
    assert (answer["domain"], answer["version"], answer["user"], answer["known_user"]) == (
        BOOKS,
        "v00001",
        "3",
        True,
    )
    assert len(answer["items"]) == 4
    items = [row["item"] for row in answer["items"]]
    scored = client.post(f"/v1/domains/{BOOKS}/score", json={"user": "3", "items": items}).json()
    assert [row["score"] for row in scored["scores"]] == pytest.approx(
        [r["score"] for r in answer["items"]], abs=1e-6
    )
    assert all(row["known_item"] for row in scored["scores"])


def test_unknown_users_and_items_are_scored_and_flagged(client: httpx.Client) -> None:
    body = {"user": "nobody", "items": ["1", "nothing"]}
    answer = client.post(f"/v1/domains/{BOOKS}/score", json=body).json()
    assert answer["known_user"] is False
    assert [row["known_item"] for row in answer["scores"]] == [True, False]
    assert all(0 < row["score"] < 1 for row in answer["scores"])


def test_batches_answer_as_single_calls(client: httpx.Client) -> None:
    requests = [{"domain": f"domain-0000{n % 3}", "user": str(n), "k": 2} for n in range(6)]
    together = client.post("/v1/recommend", json={"requests": requests}).json()["responses"]
    for request, answer in zip(requests, together, strict=True):
        body = {"user": request["user"], "k": 2}
        alone = client.post(f"/v1/domains/{request['domain']}/recommend", json=body).json()
        assert [row["item"] for row in answer["items"]] == [row["item"] for row in alone["items"]]
    scores = [
        {"domain": BOOKS, "user": 1, "items": [1, "2"]},
        {"domain": "domain-00001", "user": 1, "items": [1]},
    ]
    told = client.post("/v1/score", json={"requests": scores}).json()["responses"]
    assert [len(answer["scores"]) for answer in told] == [2, 1]


@pytest.mark.parametrize("path", ["recommend", "score"])
def test_an_unknown_domain_is_404(client: httpx.Client, path: str) -> None:
    body = {"user": "1", **({"items": ["1"]} if path == "score" else {})}
    assert client.post(f"/v1/domains/nowhere/{path}", json=body).status_code == 404
    assert client.post(f"/v1/{path}", json={"requests": [{"domain": "nowhere", **body}]}).status_code == 404


def test_an_unknown_version_is_404_and_nothing_else_there_is_too(client: httpx.Client) -> None:
    body = {"user": "1", "version": "v00009"}
    assert client.post(f"/v1/domains/{BOOKS}/recommend", json=body).status_code == 404
    assert client.post("/v1/versions/v00009/promote", json={}).status_code == 404
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/v1/domains/nowhere/onboarding").status_code == 404
    assert client.delete(f"/v1/domains/{BOOKS}").status_code == 405


WRONG: list[dict[str, Any]] = [
    {}, {"user": None}, {"user": 1.5}, {"user": True}, {"user": ""}, {"user": "x" * 201}, {"user": [1]}, {"user": -1},
    {"user": "1", "k": 0}, {"user": "1", "k": 1001}, {"user": "1", "k": "ten"}, {"user": "1", "k": 2.5},
    {"user": "1", "exclude_seen": "yes"}, {"user": "1", "version": "../v00001"}, {"user": "1", "more": 1},
    {"user": "1", "context": {"hour": 3}}, {"user": 2**70},
]  # fmt: skip


@pytest.mark.parametrize("body", WRONG, ids=str)
def test_wrong_types_are_422(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = client.post(f"/v1/domains/{BOOKS}/recommend", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"user": "\\ud800"}', b'{"\\udfff": 1}']
)
def test_bodies_that_are_no_requests_are_4xx(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post(f"/v1/domains/{BOOKS}/recommend", content=body, headers=headers)
    assert answer.status_code in (400, 422)


def test_too_large_is_413_whatever_length_is_told(client: httpx.Client) -> None:
    body = b'{"user": "' + b"x" * 70_000 + b'"}'
    path = f"/v1/domains/{BOOKS}/recommend"
    assert client.post(path, content=body).status_code == 413
    pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))
    assert client.post(path, content=pieces).status_code == 413


def test_no_key_is_401_and_a_readers_is_403_for_what_an_admin_does(client: httpx.Client) -> None:
    ask, body = f"/v1/domains/{BOOKS}/recommend", {"user": "1"}
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
        refused = client.post(ask, json=body, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert client.post(ask, json=body, headers=AS_READER).status_code == 200
    admins: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", "/v1/domains/x", {}),
        ("POST", "/v1/domains/x/interactions", {"interactions": [{"user": "1", "item": "1"}]}),
        ("POST", "/v1/versions/v00001/promote", {}), ("POST", "/v1/versions/rollback", {}),
        ("PUT", f"/v1/domains/{BOOKS}/split", {"version": "v00001", "share": 0.5}),
    ]  # fmt: skip
    for method, path, sent in admins:
        assert client.request(method, path, json=sent, headers=AS_READER).status_code == 403, path
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert client.get(path, headers={"Authorization": ""}).status_code == 200


def test_too_many_is_429(mine: Shop) -> None:
    with serving(mine, keys=True, rate=0.01, burst=3) as client:
        codes = [client.get("/v1/versions", headers=AS_READER).status_code for _ in range(5)]
        assert codes == [200, 200, 200, 429, 429]
        other = client.get("/v1/versions", headers=AS_ADMIN)
        assert other.status_code == 200
        assert "retry-after" in client.get("/v1/versions", headers=AS_READER).headers


@pytest.mark.parametrize("name", ODD)
def test_any_id_is_an_id_and_changes_nothing_else_on_disk(
    client: httpx.Client, mine: Shop, name: str
) -> None:
    from urllib.parse import quote

    def outside() -> set[Path]:
        kept = {path for path in mine.folder.parent.rglob("*") if "joining" not in path.parts}
        return {path for path in kept if "events" not in path.parts and path.suffix != ".mdb"}

    before, path = outside(), f"/v1/domains/{quote(name, safe='')}"
    if name == "..":
        path = "/v1/domains/%2e%2e"
    put = client.build_request("PUT", "/", json={"name": name})
    put.url = put.url.copy_with(raw_path=path.encode())
    answer = client.send(put)
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["domain"] == name
    asked = client.post("/v1/recommend", json={"requests": [{"domain": name, "user": name}]})
    assert asked.json()["responses"][0]["domain"] == name
    assert outside() - before <= {mine.registry.folder / "joining"}


def test_domains_are_paged_sorted_and_filtered(client: httpx.Client) -> None:
    page = client.get(
        "/v1/domains", params={"limit": 2, "sort": "rows", "order": "desc", "q": "DOMAIN-0000"}
    ).json()
    assert (page["total"], len(page["domains"])) == (5, 2)
    assert page["domains"][0]["rows"] >= page["domains"][1]["rows"]
    rest = client.get("/v1/domains", params={"offset": 4, "q": "domain-0000"}).json()
    assert [row["domain"] for row in rest["domains"]] == ["domain-00004"]
    for wrong in ({"limit": 0}, {"offset": -1}, {"sort": "secret"}, {"order": "up"}):
        assert client.get("/v1/domains", params=wrong).status_code == 422
    one = client.get(f"/v1/domains/{BOOKS}").json()
    assert (one["phase"], one["version"]) == ("trained", "v00001")
    assert one["rows"] > 0


def test_a_new_domain_is_served_by_shared_at_once(client: httpx.Client) -> None:
    assert client.put("/v1/domains/garden", json={"name": "Garden"}).status_code == 201
    assert client.put("/v1/domains/garden", json={}).status_code == 200
    rows = [{"user": str(n), "item": str(n % 7)} for n in range(9)]
    told = client.post("/v1/domains/garden/interactions", json={"interactions": rows})
    assert (told.status_code, told.json()["accepted"]) == (202, 9)
    answer = client.post("/v1/domains/garden/recommend", json={"user": "1", "k": 20}).json()
    assert {str(row["item"]) for row in answer["items"]} == {str(n) for n in range(7) if n != 1}
    state = client.get("/v1/domains/garden/onboarding").json()
    assert (state["phase"], state["version"]) == ("queued", None)


def test_interactions_that_cannot_be_kept_are_refused(client: httpx.Client) -> None:
    one = {"user": "1", "item": "1"}
    assert client.post(f"/v1/domains/{BOOKS}/interactions", json={"interactions": [one]}).status_code == 409
    assert client.post("/v1/domains/nowhere/interactions", json={"interactions": [one]}).status_code == 404
    client.put("/v1/domains/mixed", json={})
    path = "/v1/domains/mixed/interactions"
    for wrong in ([], [{**one, "label": 2}], [{**one, "label": 1}, one], [{"user": "a\tb", "item": "1"}]):
        assert client.post(path, json={"interactions": wrong}).status_code == 422, wrong
    assert client.post(path, json={"interactions": [{**one, "label": 1}]}).status_code == 202
    assert client.post(path, json={"interactions": [one]}).status_code == 409


def test_events_are_kept_once(client: httpx.Client) -> None:
    event = {"id": "e1", "type": "click", "domain": BOOKS, "user": 1, "item": "2", "version": "v00001"}
    first = client.post("/v1/events", json={"events": [event, {**event, "id": "e2"}]})
    assert (first.status_code, first.json()) == (202, {"accepted": 2})
    assert client.post("/v1/events", json={"events": [event]}).json() == {"accepted": 0}
    assert client.post("/v1/events", json={"events": [{**event, "type": "stare"}]}).status_code == 422


def test_versions_promote_split_and_go_back(client: httpx.Client, mine: Shop) -> None:
    shop_train(mine, mine.folder / "second", train={"rounds": 1})
    publish(mine.folder / "second", mine.registry)
    assert client.post("/v1/versions/v00002/promote", json={}).json()["serving"] == "v00002"
    ask = f"/v1/domains/{BOOKS}/recommend"
    assert client.post(ask, json={"user": "1"}).json()["version"] == "v00002"
    assert client.post("/v1/versions/v00001/promote", json={"domain": BOOKS}).json()["version"] == "v00001"
    assert client.post(ask, json={"user": "1"}).json()["version"] == "v00001"
    told = client.get("/v1/versions").json()
    assert [(v["version"], v["serving"], v["domains"]) for v in told["versions"]] == [
        ("v00002", True, []), ("v00001", False, [BOOKS]),
    ]  # fmt: skip
    assert client.post("/v1/versions/rollback", json={"domain": BOOKS}).json()["version"] == "v00002"
    split = client.put(f"/v1/domains/{BOOKS}/split", json={"version": "v00001", "share": 0.5})
    assert split.json()["split"] == {"version": "v00001", "share": 0.5}
    for user in range(12):
        expected = "v00001" if assigned(BOOKS, str(user), 0.5) else "v00002"
        assert client.post(ask, json={"user": str(user)}).json()["version"] == expected
    assert (
        client.put(f"/v1/domains/{BOOKS}/split", json={"version": "v00001", "share": 0}).json()["split"]
        is None
    )
    assert client.post("/v1/versions/rollback", json={}).json()["serving"] is not None
    assert client.post("/v1/versions/v00001/promote", json={}).status_code == 200


def test_a_damaged_version_is_not_promoted_and_what_served_serves_on(
    client: httpx.Client, mine: Shop
) -> None:
    shop_train(mine, mine.folder / "third", train={"rounds": 1})
    name = publish(mine.folder / "third", mine.registry)
    path = mine.registry.path(name) / "parameters" / "dense.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    refused = client.post(f"/v1/versions/{name}/promote", json={})
    assert (refused.status_code, "damaged" in refused.json()["detail"]) == (409, True)
    assert client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "1"}).json()["version"] == "v00001"


def test_metrics_count_by_route_and_never_by_id(client: httpx.Client) -> None:
    client.post("/v1/domains/secret-domain/recommend", json={"user": "secret-user"})
    client.get("/secret-path")
    text = client.get("/metrics").text
    assert 'mamdr_requests_total{code="404",route="/v1/domains/{domain}/recommend"}' in text
    assert "secret" not in text
    assert "mamdr_merged_bytes" in text


def test_nothing_secret_is_logged(mine: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(mine, keys=True, log=True) as client:
        client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "who-asks"}, headers=AS_READER)
    told = capfd.readouterr().err
    assert '"route": "/v1/domains/{domain}/recommend"' in told
    assert '"key": "shop"' in told
    assert "rrrr" not in told
    assert "who-asks" not in told


def test_a_service_without_a_version_is_not_ready(mine: Shop, tmp_path: Path) -> None:
    empty = mine.copy(tmp_path / "empty")
    (empty.registry.folder / "current.json").unlink()
    with serving(empty) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "1"}).status_code == 409


def test_a_damaged_pointer_degrades_a_service_that_serves_on(mine: Shop, tmp_path: Path) -> None:
    other = mine.copy(tmp_path / "other")
    with serving(other, poll=0.05) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        (other.registry.folder / "current.json").write_text("{")
        client.post("/v1/versions/rollback", json={})
        client.put("/v1/domains/any", json={})
        ready = client.get("/readyz").json()
        assert (ready["status"], "damaged" in ready["reasons"][0]) == ("degraded", True)
        assert client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "1"}).status_code == 200


def test_a_service_that_starts_with_a_joined_domain_serves_it_and_all_others(
    mine: Shop, tmp_path: Path
) -> None:
    other = mine.copy(tmp_path / "other")
    other.registry.promote("v00001")
    made = add_domain(
        other.registry.folder, "added", newcomer_rows(), JoinOptions(rounds=2), features=other.features
    )
    with serving(other) as client:
        for domain, version in ((BOOKS, "v00001"), ("added", made.version)):
            answer = client.post(f"/v1/domains/{domain}/score", json={"user": "1", "items": ["1"]})
            assert (answer.status_code, answer.json()["version"]) == (200, version)


def test_without_redis_the_snapshot_answers_and_readiness_says_so(mine: Shop, tmp_path: Path) -> None:
    other = mine.copy(tmp_path / "other")
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        redis = RedisServer(Path(folder))
        with serving(other, redis=redis.url, poll=0.05) as client:
            client.put("/v1/domains/garden", json={})
            rows = [{"user": "1", "item": "2"}]
            assert (
                client.post("/v1/domains/garden/interactions", json={"interactions": rows}).status_code == 202
            )
            redis.kill()
            time.sleep(0.1)
            ready = client.get("/readyz").json()
            assert (ready["status"], "feature storage" in ready["reasons"][0]) == ("degraded", True)
            answer = client.post(f"/v1/domains/{BOOKS}/recommend", json={"user": "1"})
            assert (answer.status_code, len(answer.json()["items"])) == (200, 10)
            lost = client.post("/v1/domains/garden/interactions", json={"interactions": rows})
            assert lost.status_code == 503, lost.text


def test_openapi_has_every_route_with_its_errors(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    for path in ("recommend", "score", "interactions", "onboarding", "split"):
        assert f"/v1/domains/{{domain}}/{path}" in told["paths"]
    ask = told["paths"]["/v1/domains/{domain}/recommend"]["post"]
    assert {"200", "401", "403", "404", "413", "422", "429", "503"} <= ask["responses"].keys()
    assert ask["security"]
    assert told["components"]["schemas"]["Recommend"]["examples"]
