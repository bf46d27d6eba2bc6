"""A snapshot as a folder: its manifest, its checksums, and arrays that are memory-mapped.

    manifest.json                  as of a data folder: {"content": {...}, "sha256": of the content}
    user/COLUMN.npy item/...       int32 ids or float32 numbers, a row for each id and the unknown one's
    user/starts/COLUMN.npy         int64 [R + 2], where each list begins
    user/keys/{blob,ends,heads,rows}.npy    the index of ids (`mamdr.feature_store.keys`)
    items.npy items-starts.npy     each domain's items
    pairs.npy seen.npy seen-starts.npy      what users have seen
    vocabulary/COLUMN.parquet vectors/COLUMN.npy    as in the data folder

Loading checks the manifest's checksum and every file's size; `storage.verify` reads and checks all bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mamdr.data import storage
from mamdr.data.ragged import Column, Ragged
from mamdr.data.schema import Schema
from mamdr.data.vocabulary import Vocabulary
from mamdr.feature_store.content import ENTITIES, Content, features_of
from mamdr.feature_store.keys import Keys
from mamdr.feature_store.table import Table

FORMAT = "mamdr-features"
Array = npt.NDArray[Any]
_KEYS: dict[str, type[np.generic]] = {"blob": np.uint8, "ends": np.int64, "heads": np.int64, "rows": np.int32}


class _Words(Mapping[str, Vocabulary]):
    """Vocabularies by column, read when they are looked at; a store that is only read needs none of them."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._paths = {name: folder / _words_path(schema.shared.get(name, name)) for name in schema.ids}
        self._read: dict[Path, Vocabulary] = {}

    def __getitem__(self, name: str) -> Vocabulary:
        path = self._paths[name]
        if path not in self._read:
            self._read[path] = Vocabulary.load(path)
        return self._read[path]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def save(content: Content, folder: Path) -> None:
    """Write a snapshot, whole or not at all; the same content gives the same bytes."""
    arrays, blobs = _arrays(content), _blobs(content)
    manifest = {
        "format": FORMAT,
        "version": storage.VERSION,
        "schema": content.schema.to_json(),
        "fingerprint": content.fingerprint,
        "domains": list(content.domains),
        "owners": {
            owner: {"rows": len(content.keys[owner]), "integers": content.keys[owner].integers}
            for owner in ENTITIES
        },
        "facts": dict(content.facts),
        "shapes": {path: list(array.shape) for path, array in arrays.items()},
        "files": storage.entries(arrays, blobs),
    }
    storage.write(folder, manifest, arrays, blobs, overwrite=False)


def load(folder: Path) -> Content:
    """Open a snapshot. Cost: a few file opens; a vocabulary is read when it is first needed.

    Raises: DataError for a folder that is absent, damaged or of another format.
    """
    said = storage.read_manifest(folder, FORMAT)

    def read(path: str, kind: type[np.generic]) -> Array:
        return storage.read_array(folder, path, kind, *said["shapes"][path])

    plain = Schema.from_json(said["schema"], {})
    vectors = {
        name: torch.from_numpy(read(storage.column_path("vectors", name), np.float32))
        for name in said["schema"].get("vectors", {})
    }

    def column(owner: str, name: str) -> Column:
        values = read(
            storage.column_path(owner, name), np.float32 if plain.kind(name) == "number" else np.int32
        )
        return (
            Ragged(values, read(storage.starts_path(owner, name), np.int64))
            if name in plain.lists
            else values
        )

    tables = {
        owner: Table(owner, {name: column(owner, name) for name in features_of(plain, owner)})
        for owner in ENTITIES
    }
    keys = {
        owner: Keys.from_arrays(
            {name: read(_key_path(owner, name), kind) for name, kind in _KEYS.items()},
            integers=said["owners"][owner]["integers"],
        )
        for owner in ENTITIES
    }
    return Content(
        Schema.from_json(said["schema"], vectors),
        _Words(folder, plain),
        said["fingerprint"],
        tables,
        keys,
        said["domains"],
        Ragged(read("items.npy", np.int32), read("items-starts.npy", np.int64)),
        read("pairs.npy", np.int64),
        Ragged(read("seen.npy", np.int32), read("seen-starts.npy", np.int64)),
        said["facts"],
    )


def _arrays(content: Content) -> dict[str, Array]:
    arrays: dict[str, Array] = {
        "items.npy": content.items.values,
        "items-starts.npy": content.items.starts,
        "pairs.npy": content.pairs,
        "seen.npy": content.seen.values,
        "seen-starts.npy": content.seen.starts,
    }
    for owner in ENTITIES:
        for name, column in content.tables[owner].columns.items():
            if isinstance(column, Ragged):
                arrays[storage.column_path(owner, name)] = column.values
                arrays[storage.starts_path(owner, name)] = column.starts
            else:
                arrays[storage.column_path(owner, name)] = column
        for name, array in content.keys[owner].arrays().items():
            arrays[_key_path(owner, name)] = array
    for name, rows in content.schema.vectors.items():
        arrays[storage.column_path("vectors", name)] = rows.numpy()
    return arrays


def _blobs(content: Content) -> dict[str, bytes]:
    owners = {content.schema.shared.get(name, name) for name in content.schema.ids}
    return {_words_path(name): content.words[name].to_bytes() for name in sorted(owners)}


def _words_path(column: str) -> str:
    return storage.column_path("vocabulary", column).removesuffix(".npy") + ".parquet"


def _key_path(owner: str, name: str) -> str:
    return f"{owner}/keys/{name}.npy"
