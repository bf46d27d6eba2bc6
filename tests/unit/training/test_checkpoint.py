"""A checkpoint holds a state to the bit, and one that is not whole, or not of this module, is never loaded."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from mamdr.data.domains import Batch
from mamdr.engine import trace
from mamdr.errors import CheckpointError, DataError
from mamdr.parameters import LocalStore, Moments, Point, Space
from mamdr.strategies import State
from mamdr.testing import TiedTables, TwoTables, same_bits, tiny_market
from mamdr.training import checkpoint

EXTRA = {"stopping": {"best": 0.1 + 0.2, "waited": 2}}


def space_of(module: nn.Module) -> Space:
    return trace(module, tiny_market().schema)


def point(space: Space, *rows: list[int]) -> Point:
    """A point with random values for these rows of each table."""
    ids = tuple(torch.tensor(wanted, dtype=torch.int64) for wanted in rows)
    random = torch.Generator().manual_seed(sum(map(sum, rows)))
    return Point(space, ids, torch.randn(space.size(ids), generator=random))


@pytest.fixture
def state() -> State:
    """Specific parts of several domains with different rows, two optimizers' moments, buffers of every kind."""
    module = TwoTables()
    space = space_of(module)
    specific = {
        7: point(space, [1, 5], []),
        2: point(space, [], []),
        0: point(space, [0, 3, 22], [4, 16]),
        70_000: point(space, list(range(23)), [2]),
    }
    moments = {
        "inner": Moments(31, {"mean": point(space, [1, 2], [3]), "square": point(space, [1, 2], [3])}),
        "outer": Moments(4, {}),
    }
    buffers = {"norm.mean": torch.randn(6), "norm.seen": torch.tensor(9), "mask": torch.tensor([True, False])}
    losses = {"shared": 0.1 + 0.2, "specific": 1 / 3}
    memory = {"FAMO": {"logits": torch.randn(3).double(), "last": torch.tensor(0.5)}, "PCGrad": {}}
    shared = LocalStore.of(module, space)
    return State(shared, specific, moments, buffers, 12, 1 << 62, losses, 1 << 40, memory=memory)


@pytest.fixture
def saved(state: State, tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "round", state, EXTRA)
    return tmp_path / "round"


def test_comes_back_to_the_bit(state: State, saved: Path) -> None:
    back, extra = checkpoint.load(saved, state.space)
    assert same_bits(state, back)
    assert extra == EXTRA
    assert list(back.specific) == [0, 2, 7, 70_000]


def test_what_comes_back_can_change_without_changing_the_file(state: State, saved: Path) -> None:
    back, _ = checkpoint.load(saved, state.space)
    back.specific[0].flat.zero_()
    back.shared.dense.zero_()
    assert same_bits(state, checkpoint.load(saved, state.space)[0])


def test_a_fresh_state(tmp_path: Path) -> None:
    module = TiedTables()
    fresh = State(LocalStore.of(module, space_of(module)), seed=3)
    checkpoint.save(tmp_path / "c", fresh, {})
    assert same_bits(fresh, checkpoint.load(tmp_path / "c", fresh.space)[0])


def test_a_module_without_tables(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 1)

        def forward(self, batch: Batch) -> torch.Tensor:
            logits: torch.Tensor = self.linear(batch["hour"].float().unsqueeze(1))
            return logits.squeeze(1)

    module = Plain()
    space = space_of(module)
    state = State(LocalStore.of(module, space), {3: point(space)}, seed=1)
    checkpoint.save(tmp_path / "c", state, {})
    assert same_bits(state, checkpoint.load(tmp_path / "c", space)[0])


def test_saving_again_replaces(state: State, saved: Path) -> None:
    state.round += 1
    checkpoint.save(saved, state, {})
    assert checkpoint.load(saved, state.space)[0].round == 13
    assert [path.name for path in saved.parent.iterdir()] == ["round"]


def refused(folder: Path, space: Space) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(folder, space)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _read(text: bytes | bytearray) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize(("name", "step"), [("meta.json", 5), ("state.safetensors", 97)])
def test_every_flipped_bit_is_noticed(name: str, step: int, state: State, saved: Path) -> None:
    whole = (saved / name).read_bytes()
    for place in range(0, len(whole), step):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (saved / name).write_bytes(damaged)
        if name != "meta.json" or _read(damaged) != _read(
            whole
        ):  # a last digit may change and mean the same number
            refused(saved, state.space)
    (saved / name).write_bytes(whole)
    assert same_bits(state, checkpoint.load(saved, state.space)[0])


@pytest.mark.parametrize("name", ["meta.json", "state.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short(name: str, share: float, state: State, saved: Path) -> None:
    size = (saved / name).stat().st_size
    os.truncate(saved / name, int(size * share))
    assert f"{name} is damaged" in refused(saved, state.space)


def test_a_file_that_is_not_there(state: State, saved: Path) -> None:
    assert "no checkpoint at" in refused(saved.parent / "elsewhere", state.space)
    (saved / "state.safetensors").unlink()
    assert "state.safetensors is damaged (" in refused(saved, state.space)


@pytest.mark.parametrize(
    "text", ["[]", "3", '{"format": 2}', '{"format": 2, "sha256": "", "content": 3}', "\xff"]
)
def test_a_description_of_another_shape(text: str, state: State, saved: Path) -> None:
    (saved / "meta.json").write_bytes(text.encode("latin-1"))
    assert "meta.json is damaged" in refused(saved, state.space)


def test_another_format(state: State, saved: Path) -> None:
    text = (saved / "meta.json").read_text().replace('"format": 2', '"format": 99')
    (saved / "meta.json").write_text(text)
    assert "checkpoint format 99" in refused(saved, state.space)


@pytest.mark.parametrize("module", [TwoTables(width=5), TiedTables()], ids=["another width", "tied tables"])
def test_another_module(module: nn.Module, saved: Path) -> None:
    assert "holds other parameters than the module's" in refused(saved, space_of(module))


def _full(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full_by_safetensors(*args: Any, **kwargs: Any) -> None:
    raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("owner", "name", "trouble"),
    [
        (checkpoint, "save_file", _full_by_safetensors),
        (checkpoint, "write_json", _full),
        (os, "replace", _full),
        (os, "fsync", _full),
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before(
    owner: Any,
    name: str,
    trouble: Callable[..., None],
    state: State,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, trouble)
        for target in (saved, saved.parent / "next"):
            with pytest.raises(DataError, match=r"cannot write .*No space left on device"):
                checkpoint.save(target, state, {})
    assert [path.name for path in saved.parent.iterdir()] == ["round"]
    assert same_bits(state, checkpoint.load(saved, state.space)[0])


def test_one_of_before_there_were_combiners_is_read(state: State, saved: Path) -> None:
    written = json.loads((saved / "meta.json").read_text(encoding="utf-8"))
    del written["content"]["memory"]
    text = json.dumps(written["content"], sort_keys=True, separators=(",", ":"))
    written["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (saved / "meta.json").write_text(json.dumps(written), encoding="utf-8")
    again, _ = checkpoint.load(saved, state.space)
    assert again.memory == {}
    state.memory = {}
    assert same_bits(state, again)
