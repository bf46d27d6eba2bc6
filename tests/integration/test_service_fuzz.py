"""The service and its description agree, and nothing that is sent brings it down."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.registry.shop import open_shop

for extra in ("fastapi", "httpx", "lmdb", "prometheus_client", "schemathesis"):
    pytest.importorskip(extra)


def test_random_requests_have_answers_that_the_description_has(tmp_path: Path) -> None:
    from benchmarks.service_fuzz import fuzz
    from tests.unit.serving.calls import AS_ADMIN, serving

    shop = open_shop(tmp_path / "shop", domains=3)
    with serving(shop, keys=True, body_kb=256) as client:
        client.headers.update(AS_ADMIN)
        codes = fuzz(client, examples=15)
        ask = client.post("/v1/domains/domain-00000/recommend", json={"user": "1"})
        assert ask.status_code in (200, 409)  # 409 where a random roll-back left nothing
        assert sum(codes.values()) >= 200
        assert {200, 422} <= {code for _, code in codes}
