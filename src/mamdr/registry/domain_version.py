"""The version of one domain that joined another version: its specific part, and the ids of what came with it.

part/...             the part, laid out as a version's specific parts with one domain
new/OWNER.parquet    raw values that training did not know, in the order of their ids
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mamdr.data.storage import Content
from mamdr.errors import CheckpointError
from mamdr.parameters import Point
from mamdr.registry.layout import read_parts, write_parts
from mamdr.registry.manifest import write_manifest
from mamdr.registry.registry import Registry
from mamdr.registry.version import Joined, Version

OWNERS = ("user", "item")


def publish_domain(
    registry: Registry,
    base: Version,
    domain: str,
    part: Point,
    new: Mapping[str, Sequence[str]],
    *,
    share: float = 1.0,
    gate: Mapping[str, Any],
) -> str:
    """Publish a domain's part as a version of its own; its name.

    Args:
        base: the version that it was trained beside.
        part: the specific part of the number that stands for new domains.
        new: owner -> raw values whose ids begin where the base's end.
        share: of the part that serves.
        gate: what the gate compared.
    """
    with registry.publishing() as (version, folder):
        write_parts(folder / "part", {base.newcomer: part}, base.space.part)
        (folder / "new").mkdir()
        for owner in OWNERS:
            table = pl.DataFrame({"value": list(new.get(owner, ()))}, schema={"value": pl.String})
            table.write_parquet(folder / "new" / f"{owner}.parquet")
        kept = ("run", "model", "strategy", "data")
        content: Content = {
            "kind": "domain",
            "base": base.name,
            "domain": domain,
            **{key: base.manifest[key] for key in kept},
            "share": share,
            "gate": dict(gate),
        }
        write_manifest(folder, content)
    return version


def load_joined(registry: Registry, version: str, base: Version, *, checked: bool = True) -> Joined:
    """Load a domain's version.

    Raises: CheckpointError when it is absent, damaged, or stands on another version.
    """
    folder = registry.path(version)
    content = registry.verify(version) if checked else registry.manifest(version)
    if content["kind"] != "domain" or content["base"] != base.name:
        raise CheckpointError(
            f"{version} does not stand on {base.name}", f"a domain's version, and its base {content['base']}",
            "Load it by its base",
        )  # fmt: skip
    parts, _ = read_parts(folder / "part", base.space.part)
    users, items = (_new(folder, owner, base) for owner in OWNERS)
    return Joined(version, content, base, parts[base.newcomer], float(content["share"]), users, items)


def _new(folder: Path, owner: str, base: Version) -> dict[str, int]:
    try:
        values = pl.read_parquet(folder / "new" / f"{owner}.parquet", memory_map=False)["value"].to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CheckpointError(
            f"{folder / 'new'} is damaged ({error})", "the files as they were published", "Let the domain join again"
        ) from error  # fmt: skip
    first = base.schema.ids[f"{owner}_id"]
    return {value: first + place for place, value in enumerate(values)}
