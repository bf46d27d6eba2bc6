"""Folders: whole or refused, whatever was killed, cut or changed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mamdr.data import storage
from mamdr.data.building import build
from mamdr.data.domains import Dataset
from mamdr.errors import DataError


def _data() -> Dataset:
    rows = {
        "user_id": list("uvwxy") * 4,
        "item_id": [str(number) for number in range(20)],
        "domain": ["a", "b"] * 10,
    }
    return build(pl.DataFrame(rows), name="made")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _data().save(tmp_path / "data")
    return tmp_path / "data"


def test_a_folder_holds_what_the_manifest_says(folder: Path) -> None:
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert files == {*manifest["content"]["files"], "manifest.json"}
    assert {"vocabulary/user_id.parquet", "train/user_id.npy", "val/label.npy", "test/offsets.npy"} < files
    storage.verify(folder)


def test_loading_reads_no_column(folder: Path) -> None:
    part = Dataset.load(folder).train
    assert isinstance(storage.read_array(folder, "train/label.npy", np.float32, len(part)), np.memmap)


@pytest.mark.parametrize("name", ["train/user_id.npy", "vocabulary/item_id.parquet", "test/offsets.npy"])
def test_a_file_cut_short_grown_or_missing_is_refused_at_once(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for changed in (data[:-1], data + b"x", b""):
        (folder / name).write_bytes(changed)
        with pytest.raises(
            DataError, match=rf"{name} has {len(changed)} bytes where the manifest says {len(data)}"
        ):
            Dataset.load(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing"):
        Dataset.load(folder)


@pytest.mark.parametrize("name", ["train/user_id.npy", "vocabulary/item_id.parquet"])
def test_a_changed_byte_is_found_by_verify(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name} is damaged: its checksum is not the manifest's"):
        storage.verify(folder)


def test_a_header_of_another_kind_is_refused(folder: Path) -> None:
    path = folder / "train/user_id.npy"
    path.write_bytes(path.read_bytes().replace(b"'<i4'", b"'<f4'"))
    with pytest.raises(DataError, match=r"user_id.npy holds float32"):
        Dataset.load(folder)
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(DataError, match=r"user_id.npy cannot be read"):
        Dataset.load(folder)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"seed": 1', '"seed": 2', "its checksum does not agree"),
        ("{", "[", "is damaged: no JSON"),
        ('"sha256"', '"sha"', "is damaged"),
    ],
)
def test_a_changed_manifest_is_refused(folder: Path, old: str, new: str, says: str) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=says):
        Dataset.load(folder)


def test_another_format_is_refused(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())["content"] | {"version": 99}
    manifest = {"content": content, "sha256": storage.digest(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="is of format mamdr-data 99; expected mamdr-data 1"):
        Dataset.load(folder)


def test_folders_that_are_no_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        Dataset.load(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no manifest.json; expected a folder of built data"):
        Dataset.load(tmp_path)


def test_existing_targets_are_refused_and_kept(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="already exists"):
        _data().save(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds something else than built data"):
        _data().save(other, overwrite=True)
    assert (other / "thesis.tex").read_text() == "years of work"
    _data().save(folder, overwrite=True)
    Dataset.load(folder)


def test_a_full_disk_leaves_nothing_and_keeps_what_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Dataset.load(folder).fingerprint
    real, calls = np.save, []

    def full(path: Path, *args: Any, **options: Any) -> None:
        calls.append(path)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, *args, **options)

    monkeypatch.setattr(np, "save", full)
    for target, overwrite in ((folder, True), (folder.parent / "new", False)):
        calls.clear()
        with pytest.raises(DataError, match=r"cannot write .*No space left on device.*Free some space"):
            _data().save(target, overwrite=overwrite)
    assert os.listdir(folder.parent) == ["data"]
    storage.verify(folder)
    assert Dataset.load(folder).fingerprint == before


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _data().save(tmp_path / "data")
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
import numpy as np, polars as pl
from mamdr.data.building import build
rows = {"user_id": ["u", "v"], "item_id": ["a", "b"], "domain": ["x", "x"]}
data, real, left = build(pl.DataFrame(rows), name="made"), np.save, [3]
def save(*args, **options):
    real(*args, **options)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
np.save = save
data.save(sys.argv[1], overwrite=True)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_a_killed_build_is_never_read_back(tmp_path: Path, existing: bool) -> None:
    target = tmp_path / "data"
    if existing:
        _data().save(target)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    remains = [path for path in tmp_path.iterdir() if path != target]
    assert remains
    assert all(path.name.startswith(".") for path in remains)
    for path in remains:
        with pytest.raises(DataError, match=r"no manifest.json"):
            Dataset.load(path)
    if existing:
        storage.verify(target)
        assert Dataset.load(target).fingerprint == _data().fingerprint
    else:
        with pytest.raises(DataError, match="there is no folder"):
            Dataset.load(target)
    _data().save(target, overwrite=True)
    storage.verify(target)
