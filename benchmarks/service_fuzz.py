"""Thousands of requests made at random from the service's own description, and what no answer may be.

    python -m benchmarks.service_fuzz [--json] [--examples 330] [--smoke]

A small market is trained, published and served by `mamdr serve`; each operation of the description is sent `--examples`
requests, half of them wrong on purpose. Keys: requests, codes (how often each came), failures (of the service: a 5xx
that is not 503, or an answer that the description does not have; the first ends the run).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

import mamdr
from benchmarks import harness
from mamdr.feature_store import create
from mamdr.registry import Registry, publish
from mamdr.serving.keys import line, make_key
from mamdr.training import Recipe
from mamdr.training.train import train

RECIPE = {
    "model": {"name": "mlp", "embedding": 4, "hidden": [8]},
    "strategy": {"name": "mamdr", "num_helpers": 1},
    "train": {"rounds": 1},
}


def fuzz(client: httpx.Client, examples: int) -> Counter[tuple[str, int]]:
    """Send `examples` requests to every operation, half of them wrong on purpose; how often each code came, by
    operation.

    Raises: AssertionError for a code of 500 or more that is not 503, or an answer that the description does not have.
    """
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    codes: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        assert operation is not None
        modes = [
            operation.as_strategy(generation_mode=mode)
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        ]
        _send(client, operation, st.one_of(*modes), examples, codes)
    return codes


def _send(
    client: httpx.Client, operation: Any, cases: Any, examples: int, codes: Counter[tuple[str, int]]
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def once(case: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = case.call(base_url=str(client.base_url), headers=dict(client.headers))
        codes[operation.label, answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == 503, (case.as_curl_command(), answer.text)
        case.validate_response(answer, checks=[status_code_conformance, response_schema_conformance])

    once()


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """A client of `mamdr serve` on a small market, with an admin's key."""
    data = mamdr.synthetic_market(domains=3, users=80, items=50, samples_per_domain=200)
    data.save(folder / "data")
    train(Recipe.parse(RECIPE), mamdr.Dataset.load(folder / "data"), folder / "run")
    create(folder / "data", folder / "features")
    registry, key = Registry(folder / "registry"), make_key()
    registry.promote(publish(folder / "run", registry))
    (folder / "keys").write_text(line("admin", "fuzz", key))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["serve", "registry", "--features", "features", "--events", "events", "--keys", "keys", "--quiet"]
    begin = [sys.executable, "-c", "from mamdr.cli import main; main()"]
    process = subprocess.Popen([*begin, *words, "--port", port, "--rate", "0"], cwd=folder)
    try:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            _wait(client, process)
            yield client
            assert process.poll() is None, "the service ended"
    finally:
        process.terminate()
        process.wait()


def _wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the service ended"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError("the service did not start")


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--examples", type=int, default=330, help="requests of each operation")
    options = parser.parse_args()
    os.environ.pop("MAMDR_KEYS", None)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as client:
        codes = fuzz(client, 3 if options.smoke else options.examples)
    by_code: Counter[str] = Counter()
    for (_, code), count in codes.items():
        by_code[str(code)] += count
    figures = {"requests": sum(codes.values()), "codes": dict(sorted(by_code.items())), "failures": 0}
    table = [["code", "answers"], *([code, count] for code, count in sorted(by_code.items()))]
    harness.report("service_fuzz", figures, table, options.json)


if __name__ == "__main__":
    main()
