"""From a run to a version: all that serving it takes, without the folder of its training data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError
from mamdr.files import write_json
from mamdr.registry.helpers import HelperSample, sampled
from mamdr.registry.layout import describe, write_state
from mamdr.registry.manifest import FORMAT, SEVERAL, write_manifest
from mamdr.registry.registry import Registry
from mamdr.training import Run
from mamdr.training.folder import read_recipe


def publish(
    run: str | Path,
    registry: Registry,
    *,
    data: str | Path | None = None,
    helpers: HelperSample | None = None,
) -> str:
    """Publish a run's best round as a new version; its name.

    Args:
        run: the run's folder.
        data: the data folder, if it was moved.
        helpers: how much of the training rows goes along, for domains that join later.

    Raises:
        ConfigError: a model or strategy that no recipe can name.
        CheckpointError: no run there, or nothing trained yet.
        DataError: the disk is full; then nothing is left.

    Cost: the parameters' bytes read, written and hashed once.
    """
    opened = Run.open(run, data=data)
    assert opened.folder is not None
    recipe = read_recipe(opened.folder)
    for table in ("model", "strategy"):
        if recipe[table]["name"] == "custom":
            raise ConfigError(
                f"the {table} of {run} is one of your own", "one that a recipe can name",
                f"Register it under a name, or serve the run in Python through mamdr.Run (its {table})",
            )  # fmt: skip
    with registry.publishing() as (version, part):
        content = _content(opened, recipe)
        (part / "parameters").mkdir()
        content["buffers"] = write_state(part / "parameters", opened.state)
        sampled(opened.data, helpers or HelperSample()).save(part / "helpers")
        write_json(part / "metrics.json", _metrics(opened))
        write_json(part / "statistics.json", _statistics(opened.data))
        write_manifest(part, content, SEVERAL if opened.state.further else FORMAT)
    return version


def _content(run: Run, recipe: dict[str, Any]) -> dict[str, Any]:
    said = run.info
    schema = run.data.schema.to_json()
    schema.pop("vectors", None)  # they are the feature storage's
    return {
        "kind": "full",
        "base": None,
        "domain": None,
        "run": run.name,
        "recipe": json.loads(json.dumps(recipe)),
        "data": {"name": run.data.name, "fingerprint": run.data.fingerprint},
        "schema": schema,
        "space": describe(run.space),
        "shares": [[domain, run.state.shares[domain]] for domain in sorted(run.state.shares)],
        "model": said["model"],
        "strategy": said["strategy"],
        "seed": said["seed"],
        "round": run.state.round,
        "validation": {said["monitor"]: said["best_value"]},
    }


def _metrics(run: Run) -> dict[str, Any]:
    """What the run found of itself: validation figures of the best round, and of every split that was evaluated."""
    assert run.folder is not None
    rounds = [e for e in run.events if e["event"] == "round" and e["round"] == run.state.round]
    found: dict[str, Any] = {"val": rounds[-1]["val"]} if rounds else {}
    for path in sorted(run.folder.glob("metrics-*.json")):
        found[path.stem.removeprefix("metrics-")] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _statistics(data: Dataset) -> dict[str, list[int]]:
    """For each domain its training rows, positives among them, users and items."""
    train = data.train
    bounds, labels = train.offsets.numpy(), train.labels.numpy()
    sums = np.concatenate([[0], np.cumsum(labels, dtype=np.int64)])
    domains = range(len(data.schema.domains))
    counted = {
        owner: [len(train.unique_ids(domain, f"{owner}_id")) for domain in domains]
        for owner in ("user", "item")
    }
    return {
        "rows": np.diff(bounds).tolist(),
        "positives": np.diff(sums[bounds]).tolist(),
        "users": counted["user"],
        "items": counted["item"],
    }
