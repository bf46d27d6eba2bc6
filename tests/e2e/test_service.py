"""From a market of 50 domains to a service that takes in the 51st, over HTTP, with two workers."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.commands import good, run
from tests.unit.registry.shop import newcomer_rows

import mamdr

httpx = pytest.importorskip("httpx")
for extra in ("fastapi", "lmdb", "prometheus_client"):
    pytest.importorskip(extra)

RECIPE = """
[model]
name = "mlp"
embedding = 8
hidden = [16]
[strategy]
name = "mamdr"
num_helpers = 1
[inner]
name = "adam"
lr = 0.01
[walk]
batch_size = 64
[train]
rounds = 2
patience = 0
"""


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Any]:
    """A client of `mamdr serve` in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begin = [sys.executable, "-c", "from mamdr.cli import main; main()"]
    known = ["serve", "registry", "--features", "features", "--port", str(port), "--poll", "0.2"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*begin, *known, *words], cwd=folder, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until(lambda: ready(client, process), 120)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def ready(client: Any, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the service ended"
    try:
        return bool(client.get("/readyz").status_code == 200)
    except httpx.TransportError:
        return False


def wait_until(done: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a market, two runs on it and their versions, the first of which serves."""
    folder = tmp_path_factory.mktemp("service")
    mamdr.synthetic_market(domains=50, users=300, items=100, samples_per_domain=80).save(folder / "data")
    (folder / "recipe.toml").write_text(RECIPE)
    for number, seed in ((1, 1), (2, 2)):
        words = ("--data", "data", "--out", f"run{number}", "--set", f"train.seed={seed}", "--quiet")
        good("train", "recipe.toml", *words, folder=folder)
        assert good("publish", f"run{number}", "registry", folder=folder) == f"v0000{number}\n"
    run("promote", "registry", "v00001", folder=folder)
    mamdr.feature_store.create(folder / "data", folder / "features")
    return folder


class Load:
    """Threads that ask and ask; each answer must be the whole answer of the version that it names."""

    def __init__(self, client: Any, domain: str, expected: dict[str, list[float]]) -> None:
        self.client, self.domain, self.expected = client, domain, expected
        self.failed: list[object] = []
        self.versions: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            answer = scores(self.client, self.domain)
            if answer.status_code != 200:
                self.failed.append(answer.text)
                continue
            said = answer.json()
            self.versions.append(said["version"])
            found = [row["score"] for row in said["scores"]]
            if found != pytest.approx(self.expected[said["version"]], abs=1e-6):
                self.failed.append((said, self.expected))


def scores(client: Any, domain: str) -> Any:
    return client.post(
        f"/v1/domains/{domain}/score", json={"user": "7", "items": [str(n) for n in range(20)]}
    )


def test_a_market_is_served_grows_and_is_switched_under_load(place: Path) -> None:
    with served(place, "--workers", "2") as client:
        told = client.get("/v1/domains").json()
        assert told["total"] == 50
        domain = told["domains"][0]["domain"]
        answer = client.post(f"/v1/domains/{domain}/recommend", json={"user": "7", "k": 5}).json()
        assert (answer["version"], len(answer["items"])) == ("v00001", 5)
        before = scores(client, domain).json()["scores"]
        joins(client, place)
        assert scores(client, domain).json()["scores"] == before
        switches(client, domain)


def joins(client: Any, place: Path) -> None:
    """Domain 51: served by shared at once, by its own part after the gate."""
    assert client.put("/v1/domains/number 51", json={"name": "The new one"}).status_code == 201
    rows = newcomer_rows(600, known=100)
    sent = [{"user": user, "item": item} for user, item in rows.iter_rows()]
    path = "/v1/domains/number 51"
    told = client.post(f"{path}/interactions", json={"interactions": sent})
    assert told.status_code == 202, told.text
    asked = client.post(f"{path}/recommend", json={"user": "3", "k": 5})
    assert asked.status_code == 200, asked.text
    first = asked.json()
    assert (first["version"], len(first["items"])) == ("v00001", 5)

    def ended() -> bool:
        phase = client.get(f"{path}/onboarding").json()["phase"]
        assert phase in ("queued", "training", "live"), client.get(f"{path}/onboarding").text
        return bool(phase == "live")

    wait_until(ended, 90)
    state = client.get(f"{path}/onboarding").json()
    assert state["version"] == "v00003"
    assert state["figures"]["val"]["own"] >= state["figures"]["val"]["shared"]
    assert state["figures"]["test"]["own"] > 0.55, state

    def by_its_own() -> bool:
        answer = client.post(f"{path}/recommend", json={"user": "3", "k": 5, "exclude_seen": False})
        return bool(answer.json()["version"] == "v00003")

    wait_until(by_its_own, 10)
    listed = client.get("/v1/domains", params={"q": "number"}).json()
    assert (listed["total"], listed["domains"][0]["phase"]) == (1, "live")
    body = {"user": "never seen", "items": ["1002"]}
    assert client.post(f"{path}/score", json=body).json()["scores"][0]["known_item"] is True


def switches(client: Any, domain: str) -> None:
    """Versions change under load: no request fails, and none mixes two versions."""
    expected = {}
    for version in ("v00002", "v00001"):
        assert client.post(f"/v1/versions/{version}/promote", json={}).status_code == 200
        wait_until(lambda version=version: _all_serve(client, domain, version), 10)
        expected[version] = [row["score"] for row in scores(client, domain).json()["scores"]]
    assert expected["v00001"] != expected["v00002"]
    with Load(client, domain, expected) as load:
        assert client.post("/v1/versions/v00002/promote", json={}).json()["serving"] == "v00002"
        wait_until(lambda: _all_serve(client, domain, "v00002"), 10)
        assert client.post("/v1/versions/rollback", json={}).json()["serving"] == "v00001"
        wait_until(lambda: _all_serve(client, domain, "v00001"), 10)
    assert load.failed == []
    assert {"v00001", "v00002"} == set(load.versions)


def _all_serve(client: Any, domain: str, version: str) -> bool:
    """Whether each of many answers, whichever worker gave it, is by this version."""
    return all(scores(client, domain).json()["version"] == version for _ in range(12))


def test_a_public_address_without_keys_is_refused(place: Path) -> None:
    result = run("serve", "registry", "--features", "features", "--host", "0.0.0.0", folder=place)
    assert (result.code, "no keys" in result.err) == (2, True)


def test_a_domain_joins_from_the_command_line(place: Path) -> None:
    newcomer_rows(500, known=100).write_csv(place / "new.csv")
    out = good(
        "domain", "add", "run1", "--interactions", "new.csv", "--name", "a/b", "--rounds", "4", folder=place
    )
    assert "val AUC: shared" in out
    assert (place / "run1" / "registry" / "current.json").is_file()
    told = good("versions", "run1/registry", "--json", folder=place)
    assert '"domain": "a/b"' in told
