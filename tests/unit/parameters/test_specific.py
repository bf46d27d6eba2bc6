"""What a specific part may hold: names, sizes, and that every strategy obeys."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mamdr.engine import trace
from mamdr.errors import CheckpointError, ConfigError
from mamdr.parameters import LocalStore, Overlay, Point, Space, Specific
from mamdr.strategies import (
    MAMDR,
    DomainRegularization,
    Finetune,
    Separate,
    Strategy,
)
from mamdr.testing import TwoTables, parameters_of, same_bits, tiny_market, train
from mamdr.training import checkpoint

DATA = tiny_market()
DENSE = {"hidden.weight", "hidden.bias", "logit.weight", "logit.bias"}


def space_of(setting: Specific) -> Space:
    return setting.applied(trace(TwoTables(), DATA.schema))


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("all", {"user.weight", "item.weight", *DENSE}),
        ("dense", DENSE),
        ("logit.*", {"logit.weight", "logit.bias"}),
        (("user.*", "*.bias"), {"user.weight", "hidden.bias", "logit.bias"}),
    ],
)
def test_names(parameters: str | tuple[str, ...], names: set[str]) -> None:
    assert space_of(Specific(parameters)).specific == names


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("dnse", "specific.parameters: no trainable parameter of the module is called 'dnse'; expected "),
        (("hiden.weight",), ".*Did you mean 'hidden.weight'?"),
        (("logit.*", "usr.weight"), ".*Did you mean 'user.weight'?"),
        ((), "specific.parameters = \\[\\]; expected at least one name"),
    ],
)
def test_names_that_fit_nothing(parameters: str | tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        space_of(Specific(parameters))
    assert "\n" not in str(caught.value)


def test_a_predicate_chooses_by_name() -> None:
    chosen = Specific.chosen(TwoTables(), lambda name: "weight" in name and "user" not in name, rank=2)
    assert chosen.rank == 2
    assert space_of(chosen).specific == {"item.weight", "hidden.weight", "logit.weight"}


def test_everything_whole_is_the_space_itself() -> None:
    space = space_of(Specific())
    assert space.part is space
    assert (
        space_of(Specific(rank=6)).part.dense_size == space.dense_size
    )  # 6 (6 + 8) > 6 · 8: factors would not pay


def test_a_part_has_no_room_for_what_it_may_not_hold() -> None:
    sizes = {name: space_of(Specific(name)).part.dense_size for name in ("all", "dense", "logit.*", "user.*")}
    assert sizes == {"all": 61, "dense": 61, "logit.*": 7, "user.*": 0}
    assert space_of(Specific(rank=1)).part.dense_size == 6 + 8 + 6 + 7
    assert space_of(Specific("hidden.weight", rank=2)).part.dense_size == 2 * (6 + 8)


def test_each_of_a_stack_of_matrices_is_factored() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernels = nn.Parameter(torch.randn(3, 10, 20))

    module = Stack()
    space = Specific(rank=2).applied(Space.of(module))
    assert [part.shape for part in space.part.dense] == [(3, 10, 2), (3, 20, 2)]
    parts: dict[int, Point] = {}
    store = Overlay(LocalStore.of(module, space), parts, 0)
    moved = torch.randn(3, 10, 2) @ torch.randn(3, 2, 20)  # each of rank 2: nothing is lost
    store.push(Point(space, (), moved.flatten().clone()), 0.5)
    torch.testing.assert_close(
        store.pull(()).parameter(0), module.kernels + 0.5 * moved, rtol=1e-4, atol=1e-5
    )


def test_a_push_goes_to_the_nearest_matrix_of_the_rank() -> None:
    """diag(5, 3, 1, ...) at rank 2 keeps 5 and 3; what comes next adds up with them alone."""
    module = nn.Linear(8, 6, bias=False).double()
    nn.init.zeros_(module.weight)
    space = Specific(rank=2).applied(Space.of(module))
    store = Overlay(LocalStore.of(module, space), {}, 0)
    for diagonal, expected in [((5, 3, 1), (5, 3, 0)), ((0, 0, 2), (5, 3, 0)), ((0, 0, 4), (5, 0, 4))]:
        matrix = torch.zeros(6, 8, dtype=torch.float64)
        matrix.fill_diagonal_(0)
        for place, value in enumerate(diagonal):
            matrix[place, place] = value
        store.push(Point(space, (), matrix.flatten()), 1.0)
        found = store.pull(()).parameter(0)
        assert torch.allclose(found.diagonal()[:3], torch.tensor(expected).double(), atol=1e-12)


def test_a_matrix_that_does_not_move_keeps_its_bits() -> None:
    module = TwoTables()
    space = Specific(rank=2).applied(Space.of(module))
    parts: dict[int, Point] = {}
    store = Overlay(LocalStore.of(module, space), parts, 0)
    moved = Point.zeros(space)
    moved.flat.normal_(generator=torch.Generator().manual_seed(1))
    store.push(moved, 1.0)
    before = parts[0].copy()
    store.push(Point.zeros(space), 1.0)
    assert torch.equal(parts[0].flat, before.flat)
    store.fade(0.5)
    full = Overlay(LocalStore.of(module, space), {0: before}, 0)
    start = parameters_of(LocalStore.of(module, space))
    for name, value in parameters_of(store).items():
        half = 0.5 * (parameters_of(full)[name] - start[name])
        torch.testing.assert_close(value - start[name], half, rtol=1e-4, atol=1e-6)


SETTING = Specific(("hidden.*", "item.weight"), rank=1)
EVERY = [
    DomainRegularization(num_helpers=1),
    MAMDR(num_helpers=1),
    Separate(),
    Finetune(),
    MAMDR.authors(num_helpers=1),
]


@pytest.mark.parametrize("strategy", EVERY, ids=[*(type(s).__name__ for s in EVERY[:-1]), "authors"])
def test_every_strategy_obeys(strategy: Strategy, tmp_path: Path) -> None:
    space = space_of(SETTING)
    state = train(TwoTables(dropout=0.3), DATA, strategy, 2, space=space)
    shared = parameters_of(state.shared)
    for domain in range(3):
        served = parameters_of(strategy.params_for(state, domain))
        moved = {name for name, value in served.items() if not torch.equal(value, shared[name])}
        assert moved == {"hidden.weight", "hidden.bias", "item.weight"}
        singular = torch.linalg.svdvals((served["hidden.weight"] - shared["hidden.weight"]).double())
        assert singular[1] < 1e-5 * singular[0]
    for part in (*state.specific.values(), *state.tuned.values()):
        assert len(part.dense) == 6 + 8 + 6  # hidden.weight as two factors, hidden.bias
    checkpoint.save(tmp_path / "one", state, {})
    again, _ = checkpoint.load(tmp_path / "one", space)
    assert same_bits(again, state)
    straight, resumed = (
        train(TwoTables(dropout=0.3), DATA, strategy, 1, state=s, space=space) for s in (state, again)
    )
    assert same_bits(straight, resumed)


def test_a_checkpoint_is_as_small_as_its_parts(tmp_path: Path) -> None:
    sizes = {}
    for name, setting in {"all": Specific(), "low": Specific("dense", rank=1)}.items():
        state = train(TwoTables(), DATA, Separate(inner_state="fresh"), 1, space=space_of(setting))
        checkpoint.save(tmp_path / name, state, {})
        sizes[name] = len(load_file(tmp_path / name / "state.safetensors")["specific/flat"])
        if name == "all":
            with pytest.raises(CheckpointError, match=r"the specific parts in .* hold other parameters"):
                checkpoint.load(tmp_path / name, space_of(Specific("dense", rank=1)))
    rows = sum(len(DATA.train.unique_ids(d, c)) for d in range(4) for c in ("user_id", "item_id"))
    assert sizes == {"all": 4 * 61 + 4 * rows, "low": 4 * (6 + 8 + 6 + 7)}
