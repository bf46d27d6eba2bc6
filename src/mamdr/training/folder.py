"""A run's folder: what lies in it, and what is wrong with it.

RUN/recipe.toml        every setting, spelt out
RUN/run.json           which data, how far, which round was best
RUN/events.jsonl       one line an event
RUN/checkpoints/       the last round and the best one
RUN/metrics-SPLIT.json what `mamdr evaluate` found
RUN/conflict.json      what `mamdr conflict` found
"""

from __future__ import annotations

import fcntl
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from mamdr.data.domains import Dataset
from mamdr.errors import CheckpointError
from mamdr.files import atomic_file, disk_errors, write_json

FORMAT = 1
_KINDS: dict[str, type] = {
    "version": str,
    "status": str,
    "model": str,
    "strategy": str,
    "seed": int,
    "monitor": str,
    "finetuned": bool,
    "parameters": int,
    "data": dict,
    "settings": dict,
    "last_round": int,
    "best_round": int,
    "stopped_by": str,
}
_MAY_CHANGE = {
    "train": ("rounds", "patience", "jobs", "engine_mb", "conflict_every"),
    "specific": ("memory",),
}  # settings that may differ from one sitting to the next, by table


def checkpoint_folder(folder: Path, round: int) -> Path:
    return folder / "checkpoints" / f"round-{round:05d}"


def read_info(folder: Path) -> dict[str, Any]:
    """A run's `run.json`.

    Raises:
        CheckpointError: there is no run, or the file is damaged or of another format.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise CheckpointError(f"no run at {folder}", "a folder that mamdr train wrote", "Check the path")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(info, dict):
        raise _damaged(path, "no JSON object")
    if info.get("format") != FORMAT:
        raise CheckpointError(
            f"run format {info.get('format')} in {folder}", f"format {FORMAT}", "Train anew"
        )
    wrong = [key for key, kind in _KINDS.items() if type(info.get(key)) is not kind]
    wrong = wrong or [
        key for key in ("name", "fingerprint", "folder") if type(info["data"].get(key)) is not str
    ]
    if wrong:
        raise _damaged(path, f"{wrong[0]!r} is missing or of the wrong kind")
    return info


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise CheckpointError when a run cannot be trained in a folder.

    One with a run must be meant to be resumed. One without must be empty, or nearly so when a run was killed before its
    `run.json` was written.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file", "a new folder", "Choose another")
    if (folder / "run.json").exists():
        if not resume:
            raise CheckpointError(
                f"{folder} already holds a run", "a new folder", "Add --resume to go on with it"
            )
        return
    mine = {"recipe.toml"} if resume else set()
    if any(path.name not in mine and not path.name.startswith(".") for path in folder.iterdir()):
        raise CheckpointError(f"{folder} is not empty and holds no run", "a new folder", "Choose another")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run to this process while it trains there; the lock goes when the process ends, however it ends.

    Raises:
        CheckpointError: another process trains there.
        DataError: the folder cannot be written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, which workers would go on holding
        except (BlockingIOError, PermissionError) as error:
            raise CheckpointError(
                f"another process is training in {folder}", "one at a time", "Wait for it, or stop it first"
            ) from error
        except OSError:  # a file system that knows no locks: its user must know what runs where
            pass
        yield


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    write_json(folder / "run.json", info)


def read_recipe(folder: Path) -> dict[str, Any]:
    """The tables of a run's `recipe.toml`."""
    try:
        return tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"no readable recipe.toml in {folder}", "the run's recipe", "Restore it or train anew"
        ) from error


def write_recipe(folder: Path, recipe: Mapping[str, Any]) -> None:
    with atomic_file(folder / "recipe.toml") as part:
        part.write_bytes(tomli_w.dumps(recipe).encode())


def settings_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a run cannot change of its recipe's tables, as JSON has it."""
    settings: dict[str, Any] = json.loads(json.dumps(dict(recipe)))
    for table, keys in _MAY_CHANGE.items():
        for key in keys:
            settings.get(table, {}).pop(key, None)
    return settings


def check_settings(folder: Path, info: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Raise CheckpointError when a recipe's tables are not those that the run was trained with."""
    before, now = _flat(info["settings"]), _flat(settings_of(recipe))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            raise CheckpointError(
                f"{folder} was trained with {key} = {before.get(key)!r}, the recipe says {now.get(key)!r}",
                f"the run's own settings ({', '.join(k for keys in _MAY_CHANGE.values() for k in keys)} may change)",
                f"Use {folder / 'recipe.toml'}, or train into a new folder",
            )


def check_fingerprint(folder: Path, info: Mapping[str, Any], data: Dataset) -> None:
    """Raise CheckpointError when the data are not those that the run was trained on."""
    if info["data"]["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"the data {data.name!r} are not those that {folder} was trained on ({info['data']['name']!r})",
            f"fingerprint {info['data']['fingerprint'][:12]}, found {data.fingerprint[:12]}",
            "Give the right folder with --data, or train into a new folder",
        )


def find_data(folder: Path, info: Mapping[str, Any], given: Dataset | str | Path | None) -> Dataset:
    """The data set that a run was trained on.

    Args:
        folder, info: the run.
        given: the data set, or its folder; None looks where it was.

    Raises:
        CheckpointError: the data are nowhere, or other data than the run was trained on.
    """
    known = info["data"]["folder"]
    if given is None and not (known and Path(known).exists()):
        where = f"no longer at {known}" if known else f"in no folder ({info['data']['name']!r} was in memory)"
        raise CheckpointError(
            f"the data of {folder} are {where}",
            "the data set that the run was trained on",
            "Give it with --data (data= in Python)",
        )
    data = given if isinstance(given, Dataset) else Dataset.load(Path(given or known))
    check_fingerprint(folder, info, data)
    return data


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged ({why})", "the file as mamdr wrote it", "Restore it or train into a new folder"
    )
