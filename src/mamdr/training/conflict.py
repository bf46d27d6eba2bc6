"""How much domains conflict in a run: at its best round, and from round to round as far as that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mamdr.engine.gradients import Gradients
from mamdr.errors import CheckpointError, ConfigError
from mamdr.evaluation.conflict import LARGEST, Conflict, Progress, conflict
from mamdr.parameters import LocalStore
from mamdr.strategies import State
from mamdr.training import checkpoint
from mamdr.training.folder import checkpoint_folder, read_recipe
from mamdr.training.run import Run, build_model

FILE = "conflict.json"
"""What `mamdr conflict` writes into a run's folder."""


def run_conflict(
    run: Run,
    *,
    domains: int = LARGEST,
    rows: int | None = None,
    rounds: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What `mamdr conflict` writes: the matrices at the run's shared parameters, and what they are of.

    Args:
        run: at its best round.
        domains: at most so many are compared; of more a sample is drawn from the run's seed.
        rows: at most so many rows of a domain; None takes all.
        rounds: tell of other rounds too: the start, those that training recorded, and the last one.
        progress: told of each domain.

    Cost: as `evaluation.conflict.conflict`, and with `rounds` the same for the start and the last round.
    """
    settings: dict[str, Any] = {"domains": domains, "rows": rows, "progress": progress}
    about = {key: run.info[key] for key in ("model", "strategy", "seed")}
    found = conflict_at(run, run.state, **settings)
    content = {
        "run": run.name,
        **about,
        "data": run.data.name,
        "fingerprint": run.data.fingerprint,
        "round": run.state.round,
        "rows": rows,
        **found.to_json(run.data.schema.domains),
    }
    if rounds:
        content["rounds"] = _rounds(run, found, settings)
    return content


def conflict_at(
    run: Run,
    state: State,
    *,
    domains: int = LARGEST,
    rows: int | None = None,
    progress: Progress | None = None,
) -> Conflict:
    """The conflict between a run's domains at the shared parameters of a state."""
    with run.session() as session:
        gradients = Gradients(session, state.buffers, rows=rows, seed=run.info["seed"])
        return conflict(gradients, state.shared, domains=domains, seed=run.info["seed"], progress=progress)


def read_conflict(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """What `mamdr conflict` left in a run's folder; None when nothing, or when it is of other data.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content if content["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged", "the file as mamdr conflict wrote it", "Run mamdr conflict again"
        ) from error


def _rounds(run: Run, best: Conflict, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """A record for each round that something is known of, in order."""
    known: dict[int, dict[str, Any]] = {}
    for event in run.events:
        if "conflict" in event:
            known[event["round"]] = event["conflict"]
    known[run.state.round] = best.summary()
    for state in (_start(run), _last(run)):
        if state is not None and state.round not in known:
            known[state.round] = conflict_at(run, state, **settings).summary()
    return [{"round": round, **known[round]} for round in sorted(known)]


def _start(run: Run) -> State | None:
    """The state before the first round; None where only the user can build the module."""
    assert run.folder is not None
    try:
        module = build_model(read_recipe(run.folder)["model"], run.data, run.info["seed"])
    except (ConfigError, KeyError):
        return None
    return State(LocalStore.of(module, run.space), buffers=dict(module.named_buffers()))


def _last(run: Run) -> State:
    assert run.folder is not None
    return checkpoint.load(checkpoint_folder(run.folder, run.info["last_round"]), run.space)[0]
