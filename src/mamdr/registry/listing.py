"""A registry's versions as people and programs are told of them."""

from __future__ import annotations

from typing import Any

from mamdr.errors import MamdrError
from mamdr.registry.pointer import Pointer
from mamdr.registry.registry import Registry

_NAMED = 100  # domains that a version's line names


def listing(registry: Registry, pointer: Pointer) -> dict[str, Any]:
    """What `GET /v1/versions` and `mamdr versions` tell."""
    return {
        "generation": pointer.generation,
        "serving": pointer.placement.serving,
        "versions": [_told(registry, pointer, name) for name in reversed(registry.names())],
    }


def _told(registry: Registry, pointer: Pointer, name: str) -> dict[str, Any]:
    own = [domain for domain, version in pointer.placement.domains.items() if version == name]
    said: dict[str, Any] = {
        "version": name,
        "serving": pointer.placement.serving == name,
        "domains": sorted(own)[:_NAMED],
        "fault": None,
    }
    try:
        content = registry.manifest(name)
    except MamdrError as error:
        nothing = dict.fromkeys(("created", "run", "model", "strategy"), "")
        return {**said, **nothing, "kind": "full", "domain": None, "base": None, "data": {}, "metrics": {},
                "fault": str(error)}  # fmt: skip
    kept = ("kind", "domain", "base", "created", "run", "model", "strategy", "data")
    metrics = content["validation"] if content["kind"] == "full" else content["gate"]
    return {**said, **{key: content[key] for key in kept}, "metrics": metrics}
