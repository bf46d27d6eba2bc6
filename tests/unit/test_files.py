"""Files and folders are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mamdr.errors import CheckpointError, DataError
from mamdr.files import atomic_file, atomic_folder, discard, disk_errors, sweep, write_json


def write_file(target: Path, text: str, fail: BaseException | None = None) -> None:
    with atomic_file(target) as part:
        part.write_text(text)
        if fail is not None:
            raise fail


def write_folder(target: Path, text: str, fail: BaseException | None = None, **settings: Any) -> None:
    with atomic_folder(target, **settings) as part:
        (part / "inner").mkdir()
        (part / "inner" / "file").write_text(text)
        if fail is not None:
            raise fail


def read(target: Path) -> str:
    return (target if target.is_file() else target / "inner" / "file").read_text()


WRITERS = [write_file, write_folder]


@pytest.mark.parametrize("write", WRITERS)
def test_is_there_whole(write: Callable[..., None], tmp_path: Path) -> None:
    write(tmp_path / "deep" / "target", "new")
    assert read(tmp_path / "deep" / "target") == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["target"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("fail", [ValueError("x"), KeyboardInterrupt(), DataError("a", "b", "c")], ids=type)
def test_a_failure_leaves_nothing(write: Callable[..., None], fail: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(fail)):
        write(tmp_path / "target", "new", fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", WRITERS)
def test_a_failure_leaves_the_old(write: Callable[..., None], tmp_path: Path) -> None:
    again = {"overwrite": True} if write is write_folder else {}
    write(tmp_path / "target", "old")
    with pytest.raises(ValueError, match="x"):
        write(tmp_path / "target", "new", ValueError("x"), **again)
    assert read(tmp_path / "target") == "old"
    write(tmp_path / "target", "new", **again)
    assert read(tmp_path / "target") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_full_disk_is_one_line(
    write: Callable[..., None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(DataError) as caught:
            write(tmp_path / "target", "new")
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'target'}: No space left on device; expected a folder that can be written, with "
        "space left. Free some space or choose another folder; nothing half-written was left behind."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_fails_while_it_replaces_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "target", "old")
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "target" and (Path(source) / "inner" / "file").read_text() == "new":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(DataError, match="No space left"):
            write_folder(tmp_path / "target", "new", overwrite=True)
    assert read(tmp_path / "target") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_that_is_there_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "target", "old")
    (tmp_path / "file").write_text("mine")
    for name in ("target", "file"):
        with pytest.raises(
            CheckpointError, match=f"{name} already exists; expected a folder that does not exist yet"
        ):
            write_folder(tmp_path / name, "new", error=CheckpointError)
    assert read(tmp_path / "target") == "old"
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", "new")
    assert read(tmp_path / "empty") == "new"


def test_a_folder_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for write in WRITERS:
        with pytest.raises(DataError, match=r"cannot write .*file/target: (Not a directory|File exists)"):
            write(tmp_path / "file" / "target", "new")
    assert read(tmp_path / "file") == "mine"


def test_json_is_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [0.1, None, "ü"]})
    write_json(tmp_path / "b", {"a": [0.1, None, "ü"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text()) == {"a": [0.1, None, "ü"], "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", float("nan"))
    assert json.loads((tmp_path / "a").read_text())["b"] == 1


def test_only_leftovers_are_swept(tmp_path: Path) -> None:
    for name in (".run.json.1234.part", "run.json", ".hidden", "a.part"):
        (tmp_path / name).touch()
    (tmp_path / ".round.77.part").mkdir()
    (tmp_path / ".round.77.part" / "file").touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.part", "run.json"]
    sweep(tmp_path / "none")


def test_what_a_writer_leaves_when_killed_is_swept(tmp_path: Path) -> None:
    held = [atomic_file(tmp_path / "file"), atomic_folder(tmp_path / "folder")]
    for writer in held:
        part = writer.__enter__()
        if not part.is_dir():
            part.touch()
    assert len(list(tmp_path.iterdir())) == 2
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_discard_hides_before_it_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "old", "x")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *args, **kwargs: None)  # killed there
        discard(tmp_path / "old")
    assert not (tmp_path / "old").exists()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_disk_errors_let_others_through() -> None:
    with pytest.raises(ValueError, match="x"), disk_errors(Path("a")):
        raise ValueError("x")
