"""The client against a service that runs."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.registry.shop import Shop
from tests.unit.serving.calls import ADMIN, READER, serving

from mamdr.client import Client
from mamdr.errors import ConfigError, ServiceError


@pytest.fixture(scope="module")
def url(mine: Shop) -> Iterator[str]:
    with serving(mine, keys=True) as found:
        yield str(found.base_url)


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, ADMIN)


def test_the_best_items_and_scores_agree(client: Client) -> None:
    page = client.domains(limit=2, order="desc")
    assert page["total"] >= 2
    domain = page["domains"][0]["domain"]
    assert client.domain(domain)["domain"] == domain
    best = client.recommend(domain, "1", k=3, exclude_seen=False)
    assert len(best["items"]) == 3
    items = [each["item"] for each in best["items"]]
    scored = client.score(domain, "1", items, version=best["version"])
    assert [each["score"] for each in scored["scores"]] == pytest.approx(
        [each["score"] for each in best["items"]]
    )
    ask = {"domain": domain, "user": "1", "k": 3, "exclude_seen": False}
    assert client.recommend_all([ask])[0]["items"] == best["items"]
    assert (
        client.score_all([{"domain": domain, "user": "1", "items": items}])[0]["scores"] == scored["scores"]
    )


def test_a_domain_with_an_odd_name_joins(client: Client) -> None:
    name = "späť/../ 'x?#%"
    assert client.add_domain(name, "Late")["domain"] == name
    assert client.interactions(name, [{"user": 1, "item": 2}, {"user": 2, "item": 3}])["accepted"] == 2
    assert client.onboarding(name)["domain"] == name
    assert client.domains(q="späť")["total"] == 1
    assert client.recommend(name, 1, exclude_seen=False)["items"]


def test_versions_are_promoted_split_and_rolled_back(client: Client) -> None:
    said = client.versions()
    version, domain = said["serving"], client.domains()["domains"][0]["domain"]
    assert client.promote(version, domain)["version"] == version
    assert client.rollback(domain)["domain"] == domain
    with pytest.raises(ServiceError) as caught:
        client.split(domain, "v99999", 0.5)
    assert caught.value.status in (404, 409)


def test_events_count_once(client: Client) -> None:
    event = {"id": "e", "type": "click", "domain": "d", "user": 5, "item": "i", "version": "v00001"}
    assert client.events([event, event | {"id": "f", "user": "u"}]) == 2
    assert client.events([event]) == 0


def test_its_health(client: Client) -> None:
    assert client.health() == {"status": "ready", "reasons": []}


def test_refusals_say_what_to_do(client: Client, url: str) -> None:
    with pytest.raises(ServiceError, match=r"status 404 .*See `domains` and `versions`\.") as caught:
        client.recommend("no such domain", "u")
    assert caught.value.status == 404
    with pytest.raises(ServiceError, match=r"status 422 \(body\.k: .*Correct the request\."):
        client.recommend(client.domains()["domains"][0]["domain"], "u", k=0)
    with pytest.raises(ServiceError, match=r"status 401 .*Give the service's key\."):
        Client(url).domains()
    with pytest.raises(ServiceError, match=r"status 403 .*Use a key with the role"):
        Client(url, READER).add_domain("d")


def test_where_no_service_is_it_says_so() -> None:
    with pytest.raises(ServiceError, match=r"does not answer GET /v1/versions .*mamdr serve") as caught:
        Client("http://127.0.0.1:9").versions()
    assert caught.value.status == 0
    with pytest.raises(ConfigError, match="a service at 'localhost'"):
        Client("localhost")
    with something_else() as other:
        with pytest.raises(ServiceError, match="does not answer GET /v1/versions"):
            Client(other).versions()
        with pytest.raises(ServiceError, match=r"status 501 \(.*See the service's log"):
            Client(other).promote("v00001")


@contextmanager
def something_else() -> Iterator[str]:
    """A server that speaks HTTP and is no such service."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *given: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
