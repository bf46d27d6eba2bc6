"""One cell: trained, measured once on test, and kept in two small files.

OUT/results/KEY.json        settings, data, figures on test, validation by round, seconds
OUT/results/KEY.npy         test probabilities in stored order, float32 [N]
OUT/runs/KEY/               the run, while it is trained, and after when runs are kept
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError, DataError, TrainingError
from mamdr.evaluation.metrics import evaluate
from mamdr.experiments.design import Cell
from mamdr.files import atomic_file, discard, write_json
from mamdr.training.run import Run
from mamdr.training.train import train

Result = dict[str, Any]


def path_of(out: Path, cell: Cell) -> Path:
    """Where a cell's result lies."""
    return out / "results" / f"{cell.key}.json"


def load(out: Path, cell: Cell, data: Dataset) -> Result | None:
    """A cell's result, if it is there.

    Raises:
        DataError: the file is damaged.
        ConfigError: it was found on other data.
    """
    path = path_of(out, cell)
    if not path.is_file():
        return None
    try:
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        found = result["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged", "a cell's result", "Remove it, and the cell is trained again"
        ) from error
    if found["fingerprint"] != data.fingerprint:
        raise ConfigError(
            f"{out} holds results on the data {found['name']!r}, which are not those given",
            "one folder for each data set",
            "Choose another --out",
        )
    return result


def make(out: Path, cell: Cell, data: Dataset, *, keep_runs: bool = False) -> dict[str, Result]:
    """Train a cell (or go on where it was stopped), measure it on test, and write what was found.

    A training that diverges is a result too: its error stands in the place of the figures.

    Returns: by key the cell's result, and that of its one round for all, which the same training has.
    """
    made: dict[str, Result] = {}
    try:
        run: Run | TrainingError = _trained(out / "runs" / cell.key, cell, data)
    except TrainingError as error:
        run = error
    for served in (cell.one_round, cell):  # the cell itself last: what it waits for is then there
        if served is not None:
            made[served.key] = _made(run, out, served, data)
            write_json(path_of(out, served), made[served.key])
    if not keep_runs:
        drop_run(out, cell)
    return made


def _made(run: Run | TrainingError, out: Path, cell: Cell, data: Dataset) -> Result:
    about = {
        "key": cell.key,
        "recipe": cell.recipe.tables(),
        "data": {"name": data.name, "fingerprint": data.fingerprint},
    }
    if isinstance(run, TrainingError):
        return about | {"error": str(run)}
    if cell.recipe.train.choose == "run":
        run = replace(run, state=replace(run.state, chosen={}))
    return about | _figures(run, out, cell)


def drop_run(out: Path, cell: Cell) -> None:
    """Remove a cell's run, whose result is written."""
    folder = out / "runs" / cell.key
    if folder.exists():
        discard(folder)


def _trained(folder: Path, cell: Cell, data: Dataset) -> Run:
    return train(
        cell.recipe, data, folder, resume=folder.exists()
    )  # a kill may have come before there was a run


def _figures(run: Run, out: Path, cell: Cell) -> Result:
    rows, names = run.data.test, run.data.schema.domains
    scores = np.concatenate([scores for _, scores in run.predict("test")])
    metrics = evaluate(
        names, rows.offsets.numpy(), rows.labels.numpy(), scores, rows.columns["user_id"].numpy()
    )
    rounds = [event for event in run.events if event["event"] == "round"]
    own = [event for event in run.events if event["event"] == "own_rounds" and run.state.chosen]
    with atomic_file(path_of(out, cell).with_suffix(".npy")) as part, part.open("wb") as file:
        np.save(file, scores)
    return {
        "test": metrics.to_json(),
        "val": own[-1]["val"]["mean_auc"] if own else run.info["best_value"],
        "served": own[-1]["domains"] if own else None,
        "val_by_round": [event["val"]["mean_auc"] for event in rounds],
        "round": run.info["best_round"],
        "rounds": len(rounds),
        "stopped_by": run.info["stopped_by"],
        "finetuned": run.info["finetuned"],
        "parameters": run.info["parameters"],
        "samples": sum(event["samples"] for event in rounds),
        "seconds_a_round": float(np.median([event["seconds"] for event in rounds])),
        "seconds": sum(event["seconds"] + event["evaluation_seconds"] for event in rounds),
    }
