"""A shelf means what a dict means, in bounded memory, and leaves nothing behind."""

from __future__ import annotations

import copy
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mamdr.errors import DataError
from mamdr.memory import bytes_of
from mamdr.parameters import Point, Space, Specific
from mamdr.testing import TwoTables
from mamdr.testing.lab import _same_point
from mamdr.training import segments, shelf
from mamdr.training.parts import shelf_in, shelf_out
from mamdr.training.shelf import Shelf, place_of, size_of

SPACE = Space.of(TwoTables())


def point(seed: int) -> Point:
    """Random values, and rows that the seed chooses."""
    random = torch.Generator().manual_seed(seed)
    ids = tuple(
        torch.nonzero(torch.rand(table.rows, generator=random) < 0.1).squeeze(1) for table in SPACE.tables
    )
    return Point(SPACE, ids, torch.randn(SPACE.size(ids), generator=random))


def equal(a: Point, b: Point) -> bool:
    return _same_point(a, b)


class AnyOperations(RuleBasedStateMachine):
    """Any sequence of operations gives what it gives on a dict; also when the process ends and starts anew from the
    last checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=os.environ["SHELF_TEST_FOLDER"]))
        self.rounds = 0
        self.truth: dict[int, Point] = {}
        self.saved: tuple[Path, Any, Any, dict[int, Point]] | None = None
        self.shelf = Shelf(SPACE, 3 * size_of(point(0)), self.folder)

    @rule(domain=st.integers(0, 6), seed=st.integers(0, 99))
    def put(self, domain: int, seed: int) -> None:
        self.shelf[domain] = point(seed)
        self.truth[domain] = point(seed)

    @rule(domain=st.integers(0, 6))
    def get(self, domain: int) -> None:
        found, wanted = self.shelf.get(domain), self.truth.get(domain)
        assert (found is None) == (wanted is None)
        assert found is None or wanted is None or equal(found, wanted)

    @rule(domain=st.integers(0, 6))
    def change_in_place_and_put_back(self, domain: int) -> None:
        if domain in self.truth:
            for mapping in (self.shelf, self.truth):
                held = mapping[domain]
                held.flat.mul_(0.5)
                mapping[domain] = held

    @rule(domain=st.integers(0, 6))
    def remove(self, domain: int) -> None:
        gone = self.shelf.pop(domain, None), self.truth.pop(domain, None)
        assert (gone[0] is None) == (gone[1] is None)

    @rule()
    def forget_all(self) -> None:
        self.shelf.clear()
        self.truth.clear()

    @rule()
    def copy_and_go_on_with_the_copy(self) -> None:
        left = self.shelf
        self.shelf = copy.deepcopy(left)
        left.clear()

    @rule()
    def checkpoint(self) -> None:
        self.rounds += 1
        target = self.folder / f"round-{self.rounds}"
        target.mkdir()
        tensors, files = shelf_out("specific", self.shelf, target)
        self.saved = target, tensors, files, copy.deepcopy(self.truth)

    @precondition(lambda self: self.saved is not None)
    @rule()
    def be_killed_and_resume(self) -> None:
        assert self.saved is not None
        target, tensors, files, truth = self.saved
        self.shelf = Shelf(SPACE, 3 * size_of(point(0)), self.folder)
        assert shelf_in("specific", tensors, files, target, self.shelf) is None
        self.truth = dict(sorted(copy.deepcopy(truth).items()))

    @invariant()
    def it_is_the_dict(self) -> None:
        assert list(self.shelf) == list(self.truth)
        assert len(self.shelf) == len(self.truth)
        assert all(equal(self.shelf[domain], self.truth[domain]) for domain in self.truth)

    def teardown(self) -> None:
        del self.shelf
        gc.collect()
        assert not list(self.folder.glob(".specific.*"))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELF_TEST_FOLDER", str(tmp_path))


@pytest.mark.parametrize("segment", [1, 20_000])
def test_any_operations(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "SEGMENT", segment)
    run_state_machine_as_test(
        AnyOperations, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


def test_memory_is_bounded_and_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "SEGMENT", 50_000)
    memory = 10 * size_of(point(0))
    held = Shelf(SPACE, memory, tmp_path)
    for turn in range(12):
        for domain in range(60):
            held[domain] = point(turn * 100 + domain)
            assert held._waiting_bytes + held._recent.held <= memory + size_of(point(0))
    live = sum(size_of(point(11 * 100 + domain)) for domain in range(60))
    on_disk = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert live / 2 < on_disk < 3.5 * live + 2 * 50_000  # 12 rounds would be 12 times as much
    assert all(equal(held[domain], point(11 * 100 + domain)) for domain in range(60))
    del held
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_while_all_fits(tmp_path: Path) -> None:
    held = Shelf(SPACE, 100 * size_of(point(0)), tmp_path)
    held.update({domain: point(domain) for domain in range(20)})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_shares_what_did_not_change(tmp_path: Path) -> None:
    held = Shelf(SPACE, 0, tmp_path)
    held.update({domain: point(domain) for domain in range(20)})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shelf_out("specific", held, tmp_path / name)
        held[3] = point(100)
    first, second = (
        {file.stat().st_ino for file in (tmp_path / name).rglob("*") if file.is_file()}
        for name in ("one", "two")
    )
    assert first < second  # the files of the first, and one with what was put since


def test_without_links_a_checkpoint_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Shelf(SPACE, 0, tmp_path)
    held.update({domain: point(domain) for domain in range(5)})

    def refuse(*paths: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "c").mkdir()
    tensors, files = shelf_out("specific", held, tmp_path / "c")
    back = Shelf(SPACE, 0)
    assert shelf_in("specific", tensors, files, tmp_path / "c", back) is None
    assert all(equal(back[domain], held[domain]) for domain in range(5))


def test_a_forked_worker_reads_and_leaves_no_trace(tmp_path: Path) -> None:
    held = Shelf(SPACE, 2 * size_of(point(0)), tmp_path)
    held.update({domain: point(domain) for domain in range(9)})
    before = sorted(path.name for path in tmp_path.rglob("*"))
    child = os.fork()
    if not child:  # what it finds is its exit code
        kept = held._recent.held
        found = all(equal(held[domain], point(domain)) for domain in range(9)) and held._recent.held == kept
        del held
        gc.collect()
        os._exit(0 if found else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert all(equal(held[domain], point(domain)) for domain in range(9))


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.os, "pwrite", full)
    with pytest.raises(DataError, match="No space left on device"):
        Shelf(SPACE, 0, tmp_path)[1] = point(1)


def test_a_setting_chooses(tmp_path: Path) -> None:
    assert place_of(Specific(), SPACE) == {}
    assert isinstance(place_of(Specific(), SPACE), dict)
    made = place_of(Specific(memory="3MB"), SPACE, tmp_path)
    assert isinstance(made, Shelf)
    assert made.memory == bytes_of("3MB") == 3 * 2**20
