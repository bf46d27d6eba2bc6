"""The folders that the authors' code prepares and reads, as they are.

    domain_0/train.csv val.csv test.csv     uid, pid, domain, label
    domain_0/domain_property.json           domain_name, n_uid, n_pid, ctr_ratio, pid_range
    domain_1/...
    processed_data/uid2id.json pid2id.json  {"id": how many, "raw_id2id": {raw: id}}
    processed_data/user_emb.json item_emb.json   {id: "128 numbers"}, where features are given

Rows, split and labels stay as they are. Differs from their code: a user or item that train lacks, and that has no
vector, is the unknown one; theirs has a row of its own that nothing trains.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.data.coding import encoded, fitted, known_marks, mark
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.vectors import Vectors
from mamdr.errors import DataError

_COLUMNS = ("uid", "pid", "label")
_ACTION = "Give a folder such as the authors' split_by_category_6"


def read(raw: str | Path, name: str, progress: Callable[[str, int, int], None] | None = None) -> Dataset:
    """The data of a prepared folder.

    Args:
        name: the data's.
        progress: called with a text, what is done and what there is in all.

    Raises: DataError naming file and line for what is absent or wrong.
    """
    raw = Path(raw)
    folders = _folders(raw)
    ids = {column: _ids(raw / "processed_data" / f"{file}2id.json") for column, file in _FILES.items()}
    vectors = {
        column: own
        for column, file in _VECTORS.items()
        if (own := _vectors(raw / "processed_data" / file, ids[column])) is not None
    }
    parts: dict[str, list[pl.DataFrame]] = {part: [] for part in SPLITS}
    properties = []
    for number, folder in enumerate(folders):
        if progress:
            progress(f"reading {folder.name}", number, len(folders))
        properties.append(_json(folder / "domain_property.json", "domain_name", "ctr_ratio"))
        for part in SPLITS:
            parts[part].append(_rows(folder / f"{part}.csv", number, ids))
    return _dataset(name, parts, properties, ids, vectors)


_FILES = {"user_id": "uid", "item_id": "pid"}
_VECTORS = {"user_id": "user_emb.json", "item_id": "item_emb.json"}


def _folders(raw: Path) -> list[Path]:
    """domain_0, domain_1, ... in the order of their numbers, none left out."""
    found = {path.name.removeprefix("domain_"): path for path in raw.glob("domain_*") if path.is_dir()}
    wanted = [str(number) for number in range(len(found))]
    if not found or set(found) != set(wanted):
        there = (
            ", ".join(sorted(path.name for path in raw.iterdir())[:5]) if raw.is_dir() else "no such folder"
        )
        raise DataError(f"{raw} holds {there or 'nothing'}", "folders domain_0, domain_1, ...", _ACTION)
    return [found[number] for number in wanted]


def _json(path: Path, *keys: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"there is no {path.name} in {path.parent}", "the file", _ACTION) from error
    except ValueError as error:
        raise DataError(
            f"{path} is not JSON ({error})", f"an object with {', '.join(keys)}", _ACTION
        ) from error
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise DataError(f"{path} has no {', '.join(keys)}", "an object with them", _ACTION)
    return content


def _ids(path: Path) -> dict[str, int]:
    """Raw id -> id."""
    content = _json(path, "id", "raw_id2id")
    found: dict[str, int] = content["raw_id2id"]
    if sorted(found.values()) != list(range(len(found))):
        raise DataError(f"{path} gives ids that are not 0 to {len(found) - 1}", "each id once", _ACTION)
    return found


def _vectors(path: Path, ids: dict[str, int]) -> Vectors | None:
    if not path.exists():
        return None
    content = _json(path)
    try:
        values = np.array([[float(x) for x in content[str(own)].split()] for own in ids.values()], np.float32)
    except KeyError as error:
        raise DataError(f"{path} has no vector for id {error}", "one for each id", _ACTION) from error
    except (ValueError, AttributeError) as error:
        raise DataError(
            f"{path} holds vectors that are none, or of several widths",
            "numbers with spaces between",
            _ACTION,
        ) from error
    return Vectors(pl.Series("id", list(ids), dtype=pl.String), values, path.name)


def _rows(path: Path, domain: int, ids: dict[str, dict[str, int]]) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(
            f"there is no {path.name} in {path.parent}", "train.csv, val.csv and test.csv", _ACTION
        )
    try:
        frame = pl.read_csv(path, schema_overrides={name: pl.Int64 for name in _COLUMNS})
        table = frame.select(_COLUMNS)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{path} cannot be read ({str(error).splitlines()[0]})",
            f"integers under {', '.join(_COLUMNS)}",
            _ACTION,
        ) from error
    for name, limit in (("uid", len(ids["user_id"])), ("pid", len(ids["item_id"])), ("label", 2)):
        wrong = ~table[name].is_between(0, limit - 1).fill_null(False)
        if (at := wrong.arg_max()) is not None and wrong[at]:
            raise DataError(
                f"{path} line {at + 2} has {name} {table[name][at]}", f"0 to {limit - 1}", _ACTION
            )
    return table.with_columns(pl.lit(domain).alias("domain"))


def _dataset(
    name: str,
    parts: dict[str, list[pl.DataFrame]],
    properties: list[dict[str, Any]],
    ids: dict[str, dict[str, int]],
    vectors: dict[str, Vectors],
) -> Dataset:
    whole = {part: pl.concat(tables) for part, tables in parts.items()}
    table = pl.concat(whole.values())
    rows: dict[str, Any] = {name: table[name].to_numpy() for name in ("domain", "label")}
    values = {}
    for column, file in _FILES.items():
        values[column], places = _sorted(ids[column])
        rows[column] = places[table[file].to_numpy()]
    in_train = np.arange(len(table)) < len(whole["train"])
    each = {column: (column,) for column in ids}
    held = known_marks(values, vectors)
    mark(held, rows, each, in_train)
    vocabularies, numbered = fitted(values, held)
    rows = encoded(rows, each, numbered)
    bounds = np.cumsum([0, *(len(whole[part]) for part in SPLITS)])
    return Dataset.from_arrays(
        name,
        [str(said["domain_name"]) for said in properties],
        {
            part: {column: cells[bounds[n] : bounds[n + 1]] for column, cells in rows.items()}
            for n, part in enumerate(SPLITS)
        },
        {column: words.size for column, words in vocabularies.items()},
        vectors={column: own.rows(vocabularies[column]) for column, own in vectors.items()},
        vocabularies=vocabularies,
        options={"source": "authors", "negatives": "given"},
        facts={
            "users": [int(said.get("n_uid", 0)) for said in properties],
            "items": [int(said.get("n_pid", 0)) for said in properties],
            "ctr_ratio": [float(said["ctr_ratio"]) for said in properties],
        },
    )


def _sorted(known: dict[str, int]) -> tuple[pl.Series, npt.NDArray[np.int64]]:
    """Raw ids in order, and by id the place of its raw id."""
    values = pl.Series("value", list(known), dtype=pl.String).sort()
    places = np.empty(len(known), dtype=np.int64)
    places[[known[value] for value in values]] = np.arange(len(known))
    return values, places
