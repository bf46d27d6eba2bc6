"""Layers trained in one go come to what autograd makes of them one by one, with the same masks."""

from __future__ import annotations

import copy
import dataclasses
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mamdr.data.domains import Dataset
from mamdr.engine import Session, Walker, WalkOptions, compiled, inner, trace
from mamdr.engine.arena import Workspace
from mamdr.engine.dropout import packed
from mamdr.engine.matmul import Matmul
from mamdr.engine.tower import Tower, is_tower
from mamdr.models.layers import Dense, Hidden, Layered, ReLUDropout, dense
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.parameters import LocalStore
from mamdr.strategies import Leg, Walk
from mamdr.testing import tiny_market
from mamdr.testing.lab import at_work


class Network(Layered):
    """Hidden layers and an output."""

    def __init__(self, width: int, sizes: tuple[int, ...], rate: float) -> None:
        super().__init__()
        hidden = Hidden(width, sizes, rate)
        self.first, self.layers = hidden.first, nn.Sequential(*hidden.layers, dense(sizes[-1], 1))


def _load() -> compiled.Loops | None:
    compiled.load()
    return compiled.loops()


@pytest.fixture(params=["compiled", "torch"])
def _loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "torch":
        monkeypatch.setattr(compiled, "_loaded", {})
    elif not _load():
        pytest.skip("numba is not installed")


def _prepared(made: Layered) -> Layered:
    """As a session has it: masks of packed bits, and gradients where they are kept."""
    for part in made.modules():
        if isinstance(part, ReLUDropout):
            part.forward = lambda x, part=part: packed(part, x)  # type: ignore[method-assign]
    for number, parameter in enumerate(made.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
        parameter.grad = torch.full_like(parameter, 0.5)
    return made


def _trained(made: Layered, rows: Tensor, constant: Tensor | None, one_go: bool) -> list[Tensor]:
    """The result, and the gradients of everything."""
    wanted = [value for value in (rows, constant) if value is not None]
    given = [value.detach().clone().requires_grad_(value.requires_grad) for value in wanted]
    torch.default_generator.manual_seed(5)
    out = Tower(made, Workspace()).through(*given) if one_go else Layered.through(made, *given)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(6))
    kept = upstream.clone()
    out.backward(upstream)
    assert torch.equal(upstream, kept)
    grads = [value.grad for value in (*given, *made.parameters()) if value.grad is not None]
    assert len(grads) == sum(value.requires_grad for value in given) + len(list(made.parameters()))
    return [out.detach(), *grads, torch.default_generator.get_state()]


@pytest.mark.usefixtures("_loops")
@pytest.mark.parametrize("sizes", [(64, 32), (33, 7), (96,)])
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("kind", [Hidden, Network])
@pytest.mark.parametrize("constant", [None, False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_values_and_gradients_are_those_of_the_layers_one_by_one(
    sizes: tuple[int, ...], rate: float, kind: type[Layered], constant: bool | None, trained: bool
) -> None:
    rows = torch.randn(70, 20, generator=torch.Generator().manual_seed(1)).requires_grad_(trained)
    same = None
    if constant is not None:
        same = torch.randn(1, 12, generator=torch.Generator().manual_seed(2)).requires_grad_(constant)
    width = 20 + (0 if same is None else 12)
    with torch.random.fork_rng(devices=[]):
        one, other = (_trained(_prepared(kind(width, sizes, rate)), rows, same, go) for go in (True, False))
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    assert torch.equal(one[0] == 0, other[0] == 0)


@pytest.mark.usefixtures("_loops")
def test_two_losses_of_one_result_add_up() -> None:
    made = _prepared(Network(20, (32,), 0.5))
    rows = torch.randn(40, 20, generator=torch.Generator().manual_seed(1))
    out = Tower(made, Workspace()).through(rows)
    out.sum().backward(retain_graph=True)
    once = [parameter.grad.clone() for parameter in made.parameters() if parameter.grad is not None]
    out.sum().backward()
    for first, parameter in zip(once, made.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad - 0.5, 2 * (first - 0.5))


@pytest.mark.usefixtures("_loops")
def test_what_diverged_is_seen() -> None:
    made = _prepared(Network(4, (32,), 0.5))
    assert math.isnan(float(Tower(made, Workspace()).through(torch.full((64, 4), math.nan)).detach().sum()))


def _hook(made: Network) -> None:
    made.first.register_forward_hook(lambda *_: None)


def _hook_gradient(made: Network) -> None:
    made.first.weight.register_hook(lambda grad: 2 * grad)


def _freeze(made: Network) -> None:
    made.first.bias.grad = None


@pytest.mark.parametrize("change", [_hook, _hook_gradient, _freeze])
def test_where_somebody_looks_each_layer_is_called(change: object) -> None:
    made = _prepared(Network(20, (32,), 0.5))
    change(made)  # type: ignore[operator]
    assert type(Tower(made, Workspace()).through(torch.randn(8, 20)).grad_fn).__name__ == "AddmmBackward0"


def test_without_gradients_or_in_other_types_each_layer_is_called() -> None:
    made = _prepared(Network(20, (32,), 0.5))
    with torch.no_grad():
        assert Tower(made, Workspace()).through(torch.randn(8, 20)).grad_fn is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Tower(made, Workspace()).through(torch.randn(8, 20)).dtype == torch.bfloat16
    assert (
        Tower(made.double(), Workspace()).through(torch.randn(8, 20, dtype=torch.float64)).dtype
        == torch.float64
    )


class _Own(Hidden):
    def through(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        return rows


class _OtherDense(Dense):
    pass


def test_other_layers_are_no_tower() -> None:
    assert is_tower(Hidden(4, (8, 8), 0.5))
    assert is_tower(Network(4, (8,), 0.5))
    assert not is_tower(nn.Linear(4, 8))
    assert not is_tower(_Own(4, (8,), 0.5))
    made = Hidden(4, (8, 8), 0.5)
    made.layers[1] = _OtherDense(8, 8)
    assert not is_tower(made)
    made = Hidden(4, (8,), 0.5)
    made.layers.append(nn.ReLU())
    assert not is_tower(made)
    made = Hidden(4, (8,), 0.5)
    made.first.bias = None  # type: ignore[assignment]
    assert not is_tower(made)


def test_loops_come_to_the_same_compiled_or_not() -> None:
    loops, draw = _load(), np.random.default_rng(1)
    if loops is None:
        pytest.skip("numba is not installed")
    from mamdr.engine import compiled_loops as plain

    x = draw.normal(size=(6, 64)).astype(np.float32)
    x[0, :4] = math.nan, math.inf, -math.inf, 0
    bias = draw.normal(size=64).astype(np.float32)
    words = draw.integers(2**32, size=12, dtype=np.uint32)
    wanted, made = x.copy().ravel(), x.copy()
    plain.relu_dropout(wanted, bias, words, np.float32(1.25), 6, 64)
    loops.relu_dropout(made.ctypes.data, bias.ctypes.data, words.ctypes.data, 1.25, 6, 64)
    assert np.array_equal(wanted, made.ravel(), equal_nan=True)
    grad = draw.normal(size=x.size).astype(np.float32)
    back, passed = grad.copy(), grad.copy()
    plain.pass_back(back, wanted, np.float32(1.25), x.size)
    loops.pass_back(passed.ctypes.data, made.ctypes.data, 1.25, x.size)
    assert np.array_equal(back, passed)
    assert 0 < np.count_nonzero(passed) < x.size


@pytest.mark.parametrize("sizes", [(64,), (128, 64), (256, 128, 64), (64, 32), (96,)])
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("rows", [1, 16, 70, 970, 5000])
@pytest.mark.parametrize(
    ("kind", "same"), [(Network, True), (Network, None), (Hidden, False), (Hidden, True)]
)
def test_compiled_or_not_the_bits_are_the_same(
    sizes: tuple[int, ...],
    rate: float,
    rows: int,
    kind: type[Layered],
    same: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not _load():
        pytest.skip("numba is not installed")
    given = torch.randn(rows, 20, generator=torch.Generator().manual_seed(1)).requires_grad_(
        same is not False
    )
    constant = None
    if same is not None:
        constant = torch.randn(1, 12, generator=torch.Generator().manual_seed(2)).requires_grad_(same)
    width = 20 + (0 if same is None else 12)
    with torch.random.fork_rng(devices=[]):
        one = _trained(_prepared(kind(width, sizes, rate)), given, constant, True)
        monkeypatch.setattr(compiled, "_loaded", {})
        other = _trained(_prepared(kind(width, sizes, rate)), given, constant, True)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("rows", [compiled.WORTHWHILE - 1, compiled.WORTHWHILE])
def test_loops_are_loaded_where_there_are_rows_enough(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_loaded", {})
    ids = {"user_id": np.zeros(rows, np.int32), "item_id": np.zeros(rows, np.int32)}
    columns = {**ids, "domain": np.zeros(rows, np.int32), "label": (np.arange(rows) % 2).astype(np.float32)}
    few = {name: values[:4] for name, values in columns.items()}
    splits = {"train": columns, "val": few, "test": few}
    data = Dataset.from_arrays("many", ["only"], splits, {"user_id": 3, "item_id": 3})
    module = MLP(data.schema, MLPConfig(embedding=2, hidden=(4,)))
    with Session(module, trace(module, data.schema), data, WalkOptions()) as session:
        assert not compiled._loaded
        Walker(session)
        assert bool(compiled._loaded) == (rows == compiled.WORTHWHILE)


def test_without_numba_there_are_no_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled.load()
    assert compiled.loops() is None


def test_which_layers_are_gone_through_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned(made: Layered, rows: int = 8) -> bool:
        out = Tower(_prepared(made), Workspace()).through(torch.randn(rows, 20))
        return out.grad_fn.plan is not None  # type: ignore[union-attr]

    loops = _load()
    if not loops:
        pytest.skip("numba is not installed")
    assert planned(Network(20, (128, 64), 0.5))
    assert planned(Hidden(20, (64,), 0.0))
    assert not planned(Network(20, (64, 32), 0.5))  # torch adds 32 columns in another order
    assert not planned(Network(20, (64,), 0.5), rows=0)
    other = Matmul()
    other._able = True
    other.use(True)
    try:
        assert not planned(Network(20, (64,), 0.5))  # another library's products
    finally:
        other.restore()
    monkeypatch.setattr(compiled, "_loaded", {"loops": dataclasses.replace(loops, through=None)})
    assert not planned(Network(20, (64,), 0.5))


def test_products_that_are_not_torchs_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    if not _load():
        pytest.skip("numba is not installed")
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setattr(compiled, "_given", lambda loop, *_: lambda *arguments: None)
    compiled.load()
    loops = compiled.loops()
    assert loops
    assert loops.through is None
    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setattr(compiled, "_routines", lambda: None)
    compiled.load()
    loops = compiled.loops()
    assert loops
    assert loops.through is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_walk_is_the_same_compiled_or_not(frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _load():
        pytest.skip("numba is not installed")
    data = tiny_market((300, 210, 33))
    draw = torch.Generator().manual_seed(1)
    vectors = {name: torch.randn(size, 6, generator=draw) for name, size in data.schema.ids.items()}
    module = MLP(data.schema, MLPConfig(embedding=8, hidden=(128, 64)), vectors if frozen else None)
    moved = []
    for _ in range(2):
        options = WalkOptions(batch_size=64, inner=inner.Adam(lr=0.01))
        with at_work(copy.deepcopy(module), data, options) as (session, _):
            store = LocalStore.of(module, session.space)
            walk = Walk(store, (Leg((2,)), Leg((0,)), Leg((0, 1))), seed=9)
            moved.append(Walker(session)(walk).displacement.flat.clone())
        monkeypatch.setattr(compiled, "_loaded", {})
    assert torch.equal(*moved)
    assert float(moved[0].abs().max()) > 0
