"""Rows that compiled loops change where they lie are, bit for bit, those that torch copies out and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from tests.oracles import optimizers as oracle
from tests.unit.engine.test_any_module import walked
from tests.unit.engine.zoo import ZOO, make
from torch import Tensor, nn

from mamdr import models
from mamdr.data.domains import Batch
from mamdr.engine import WalkOptions, compiled, inner
from mamdr.engine.compiled_rows import CompiledRows, agree, fits, look_up, with_way_back
from mamdr.engine.gathered import gather, is_gathered
from mamdr.engine.lazy import LazyRows
from mamdr.models.inputs import Inputs
from mamdr.testing import tiny_market
from mamdr.testing.market import ITEMS

ROWS, WIDTH = 60, 32
Mode = Literal["lazy", "sparse"]


@pytest.fixture(autouse=True)
def loops() -> compiled.RowLoops:
    compiled.load()
    loaded = compiled.loops()
    if loaded is None:
        pytest.skip("numba is not installed")
    if loaded.rows is None:
        pytest.skip("on this processor torch rounds otherwise")
    return loaded.rows


def _table(
    loops: compiled.RowLoops | None,
    *,
    rest: bool = False,
    penalty: bool = False,
    adam: inner.Adam | None = None,
) -> LazyRows:
    draw = torch.Generator().manual_seed(1)
    rows = 0.1 * torch.randn(ROWS, WIDTH, generator=draw)
    held = torch.rand(ROWS, 1, generator=draw) if penalty else None
    given = (rows, [torch.zeros_like(rows), torch.zeros_like(rows)], adam or inner.Adam(lr=0.01), 0)
    last, settings = torch.zeros(ROWS, dtype=torch.int64), {"rest": rest, "penalty": held}
    if loops is None:
        return LazyRows(*given, last, **settings)  # type: ignore[arg-type]
    slots = torch.arange(-5, ROWS, dtype=torch.int32).clamp(min=-1)  # ids 5 to 64 are places 0 to 59
    return CompiledRows(loops, slots, *given, last, **settings)  # type: ignore[arg-type]


def _rows(table: LazyRows, places: Tensor) -> Tensor:
    if isinstance(table, CompiledRows):
        found = look_up(table, places + 5)
        assert found is not None
        return found
    distinct, where = torch.unique(places, return_inverse=True)
    return nn.functional.embedding(where, table.gather(distinct))


def _state(table: LazyRows) -> list[Tensor]:
    return [table.rows, *table.moments]


@pytest.mark.parametrize("rest", [False, True])
@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("lookups", [1, 2, 4])
def test_they_come_to_the_same_bits(
    loops: compiled.RowLoops, rest: bool, penalty: bool, lookups: int
) -> None:
    both = [_table(made, rest=rest, penalty=penalty) for made in (loops, None)]
    draw = torch.Generator().manual_seed(2)
    to = torch.randn(WIDTH, generator=draw)
    for step in range(1, 80):
        ids = [torch.randint(ROWS, (9, 2), generator=draw) for _ in range(lookups)]
        for table in both:
            sum(((_rows(table, some) * to).sin().sum() for some in ids), torch.zeros(())).backward()
            table.step(step)
        assert torch.equal(*(table.rows for table in both))
    for table in both:
        table.settle()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*map(_state, both), strict=True))


def test_steps_are_adams(loops: compiled.RowLoops) -> None:
    """Against the oracle, a plain loop in float64, where some rows are touched in every step and others never."""
    table, rule, draw = _table(loops), oracle.Adam(lr=0.01), torch.Generator().manual_seed(3)
    want = {"rows": table.rows.double()}
    start = table.rows.clone()
    for step in range(1, 40):
        places = torch.arange(30)
        grad = torch.randn(30, WIDTH, generator=draw)
        _rows(table, places).backward(grad)
        table.step(step)
        whole = torch.zeros(ROWS, WIDTH, dtype=torch.float64)
        whole[:30] = grad
        want = dict(rule.step(want, {"rows": whole}))
    table.settle()
    assert torch.equal(table.rows[30:], start[30:])
    torch.testing.assert_close(table.rows.double(), want["rows"], rtol=0, atol=1e-6)


def test_a_lookup_whose_gradient_never_comes_moves_no_row(loops: compiled.RowLoops) -> None:
    table = _table(loops)
    before = table.rows.clone()
    _rows(table, torch.arange(4))
    table.step(1)
    assert torch.equal(table.rows, before)


def test_ids_come_in_every_form(loops: compiled.RowLoops) -> None:
    table = _table(loops)
    assert isinstance(table, CompiledRows)
    ids = torch.tensor([[7, 9], [9, 64]])
    for form in (ids, ids.int(), ids.short(), ids.t().contiguous().t(), ids[:0]):
        found = look_up(table, form)
        assert found is not None
        assert torch.equal(found, table.rows[form.long() - 5])


@pytest.mark.parametrize("bad", [4, -1, 65, 1 << 40])
def test_an_id_without_a_place_is_told_and_nothing_is_changed(loops: compiled.RowLoops, bad: int) -> None:
    table = _table(loops)
    assert isinstance(table, CompiledRows)
    _rows(table, torch.arange(5)).sum().backward()
    table.step(1)
    table.step(2)
    before = [value.clone() for value in (*_state(table), table.last)]
    out = torch.full((3, WIDTH), 7.0)
    assert table.find(torch.tensor([6, bad, 7]), out) is None
    assert bool((out == 7).all())
    assert all(torch.equal(a, b) for a, b in zip(before, (*_state(table), table.last), strict=True))


def test_rows_lie_side_by_side_and_their_gradients_come_back(loops: compiled.RowLoops) -> None:
    one, other, alone = (_table(loops) for _ in range(3))
    assert isinstance(one, CompiledRows)
    assert isinstance(other, CompiledRows)
    ids, out = torch.tensor([8, 30, 8]), torch.zeros(3, 3 + 2 * WIDTH)
    lookups = []
    for table, begin in ((one, 3), (other, 3 + WIDTH)):
        places = table.find(ids, out[:, begin : begin + WIDTH])
        assert places is not None
        lookups.append((table, places, begin))
    assert torch.equal(out[:, 3 : 3 + WIDTH], one.rows[ids - 5])
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(4))
    with_way_back(out, lookups).backward(grad)
    _rows(alone, ids - 5).backward(grad[:, 3 + WIDTH :])
    before = one.rows.clone()
    for table in (one, other, alone):
        table.step(1)
    assert torch.equal(other.rows, alone.rows)
    moved = (one.rows != before).any(dim=1).nonzero().squeeze(1)
    assert moved.tolist() == [3, 25]
    assert not torch.equal(one.rows, other.rows)


def test_vectors_that_rest_and_rows_that_are_trained_are_gathered_together(loops: compiled.RowLoops) -> None:
    schema = tiny_market((30, 21, 10)).schema
    draw = torch.Generator().manual_seed(5)
    rest = {name: torch.randn(schema.ids[name], 5, generator=draw) for name in ("item_id", "hour")}
    inputs = Inputs(schema, 16, frozen=rest)
    user: Any = inputs.tables[0].weight
    rows, slots = user.detach().clone(), torch.arange(len(user), dtype=torch.int32)
    moments, last = (
        [torch.zeros_like(rows), torch.zeros_like(rows)],
        torch.zeros(len(rows), dtype=torch.int64),
    )
    trained = CompiledRows(loops, slots, rows, moments, inner.Adam(), 0, last, rest=False, penalty=None)
    ids = {name: torch.tensor([3, 1, 3]) for name in schema.ids}
    assert is_gathered(inputs)
    made = gather(inputs, lambda table: trained if table is inputs.tables[0] else None, ids)
    want = inputs.rows(ids)
    assert torch.equal(made, want)
    to = torch.randn(made.shape, generator=torch.Generator().manual_seed(6))
    made.backward(to)
    (want * to).sum().backward()
    ((_, places, grad),) = trained.came_back
    assert torch.equal(torch.zeros_like(rows).index_add_(0, places.long(), grad), user.grad)


def _walk(
    module: nn.Module, rows: Mode, monkeypatch: pytest.MonkeyPatch, with_loops: bool, **settings: Any
) -> tuple[list[Tensor], int]:
    """Where a walk ends, and how often rows were found in place."""
    calls = []
    with monkeypatch.context() as patch:
        if not with_loops:
            patch.setattr(compiled, "_loaded", {})
        find = CompiledRows.find
        patch.setattr(CompiledRows, "find", lambda *given: calls.append(1) or find(*given))
        found, _ = walked(module, WalkOptions(batch_size=8, rows=rows, **settings))
    return list(found.values()), len(calls)


class TwiceAndMissed(nn.Module):
    """Looks items up in two ways, the second time rows that no batch foretells."""

    def __init__(self) -> None:
        super().__init__()
        self.item, self.out = nn.Embedding(ITEMS, 16), nn.Linear(16, 1)

    def forward(self, batch: Batch) -> Tensor:
        unforeseen = torch.randint(ITEMS, (len(batch["item_id"]),))
        logits: Tensor = self.out(torch.tanh(self.item(batch["item_id"]) + self.item(unforeseen)))
        return logits.squeeze(1)


def _built(name: str, numeric: bool = False) -> nn.Module:
    schema = tiny_market((30, 21, 10), numeric=numeric).schema
    return models.build(name, schema, {"embedding": 16, "hidden": (32,)}, seed=1)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "side by side": lambda: _built("mlp"),
    "numbers beside": lambda: _built("mlp", numeric=True),
    "wide and deep": lambda: _built("wdl"),
    "twice, and rows missed": TwiceAndMissed,
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("rows", ["lazy", "sparse"])
@pytest.mark.parametrize("penalty", [0.0, 1e-3])
def test_walks_end_on_the_same_bits(
    kind: str, rows: Mode, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    module = KINDS[kind]()
    one, found = _walk(module, rows, monkeypatch, True, embedding_l2=penalty)
    other, none = _walk(module, rows, monkeypatch, False, embedding_l2=penalty)
    assert found
    assert not none
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("rows", ["lazy", "sparse"])
def test_any_module_walks_so(name: str, rows: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rows of four values, which torch's own loops round otherwise in the last bit."""
    monkeypatch.setattr(compiled, "LANES", 1)
    module = make(name)
    one, _ = _walk(module, rows, monkeypatch, True)
    other, _ = _walk(module, rows, monkeypatch, False)
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=2e-6)


def test_which_rows_they_fit() -> None:
    rows = torch.zeros(4, 32)
    assert fits(rows, inner.Adam())
    assert not fits(rows, inner.SGD())
    assert not fits(rows, inner.Adagrad())
    assert not fits(rows, inner.Adam(beta1=0.0))
    assert not fits(rows, inner.Adam(beta1=0.4))
    assert not fits(rows, inner.Adam(beta2=0.5))
    assert not fits(rows.double(), inner.Adam())
    assert not fits(torch.zeros(4, 12), inner.Adam())
    assert not fits(torch.zeros(4, 64)[:, ::2], inner.Adam())


def test_loops_that_round_otherwise_are_found_out(loops: compiled.RowLoops) -> None:
    assert agree(loops)
    assert not agree(replace(loops, step=lambda *given: None))

    def with_less(*given: int) -> None:
        loops.add(*given)
        loops.add(*given)

    assert not agree(replace(loops, add=with_less))
