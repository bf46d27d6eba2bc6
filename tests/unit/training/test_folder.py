"""A run's folder, read with care: what is not as it was written is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.training.runs import train

from mamdr.errors import CheckpointError
from mamdr.training.folder import check_settings, checkpoint_folder, read_info, read_recipe, settings_of


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("run")
    train(folder, rounds=1)
    return read_info(folder)


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_info(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"no run at {tmp_path}; expected a folder that mamdr train wrote")
    assert "no run at" in refused(tmp_path / "none")
    (tmp_path / "run.json").mkdir()
    assert "no run at" in refused(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}\n{}", "\xff"])
def test_no_json_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    assert "run.json is damaged (" in refused(tmp_path)


def test_cut_short_anywhere(written: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(written, indent=2)
    for end in range(0, len(text), 29):
        (tmp_path / "run.json").write_text(text[:end])
        assert "run.json is damaged (" in refused(tmp_path)


def test_every_key_is_asked_for(written: dict[str, Any], tmp_path: Path) -> None:
    for key in written.keys() - {"format", "best_value"}:
        for changed in (
            {name: value for name, value in written.items() if name != key},
            {**written, key: None},
            {**written, key: [written[key]]},
        ):
            (tmp_path / "run.json").write_text(json.dumps(changed))
            assert f"'{key}' is missing or of the wrong kind" in refused(tmp_path)
    for key in written["data"]:
        (tmp_path / "run.json").write_text(json.dumps({**written, "data": {**written["data"], key: 3}}))
        assert f"'{key}' is missing or of the wrong kind" in refused(tmp_path)


def test_another_format(written: dict[str, Any], tmp_path: Path) -> None:
    for number in (0, 2, "1", None):
        (tmp_path / "run.json").write_text(json.dumps({**written, "format": number}))
        assert f"run format {number} in" in refused(tmp_path)


@pytest.mark.parametrize("text", [None, "name = ", "\xff"])
def test_no_recipe(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "recipe.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"no readable recipe.toml in .*; expected the run's recipe"):
        read_recipe(tmp_path)


def test_settings_leave_out_what_may_change() -> None:
    recipe: dict[str, Any] = {
        "model": {"hidden": (8, 4)},
        "train": {"rounds": 3, "patience": 1, "jobs": 2, "seed": 1},
    }
    assert settings_of(recipe) == {"model": {"hidden": [8, 4]}, "train": {"seed": 1}}
    assert recipe["train"]["rounds"] == 3


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"a": {"x": 1, "y": {"z": [1]}}}, None),
        ({"a": {"x": 1, "y": {"z": (1,)}}, "train": {"rounds": 4}}, None),
        ({"a": {"x": 2, "y": {"z": [1]}}}, "with a.x = 1, the recipe says 2"),
        ({"a": {"x": 1, "y": {"z": [2]}}}, r"with a.y.z = \[1\], the recipe says \[2\]"),
        ({"a": {"x": 1}}, r"with a.y.z = \[1\], the recipe says None"),
        ({"a": {"x": 1, "y": {"z": [1]}, "w": 0}}, "with a.w = None, the recipe says 0"),
    ],
)
def test_the_first_difference_is_named(recipe: dict[str, Any], message: str | None) -> None:
    info = {"settings": {"a": {"x": 1, "y": {"z": [1]}}}}
    if message is None:
        check_settings(Path("run"), info, recipe)
    else:
        with pytest.raises(CheckpointError, match=f"run was trained {message}"):
            check_settings(Path("run"), info, recipe)


def test_rounds_sort_by_name() -> None:
    names = [checkpoint_folder(Path("run"), round).name for round in (2, 10, 100)]
    assert names == sorted(names)
