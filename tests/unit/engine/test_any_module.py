"""Any module walks as it would under torch's own optimizer, whatever it does with its embeddings."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from tests.integration import replay
from tests.oracles.learning import Params
from tests.unit.engine.zoo import ZOO, make
from torch import nn

from mamdr.engine import Predictor, Walker, WalkOptions, inner, trace
from mamdr.parameters import LocalStore
from mamdr.strategies import Outcome, Walk
from mamdr.testing import TwoTables, parameters_of, tiny_market
from mamdr.testing.lab import at_work

DATA = tiny_market((30, 21, 10), numeric=True)
LEGS = replay.legs(2, 0, 1)
EACH = pytest.mark.parametrize("name", list(ZOO))


def walked(module: nn.Module, options: WalkOptions) -> tuple[Params, Outcome]:
    """The displacement of a walk, every parameter in full; the module itself is left alone."""
    with at_work(copy.deepcopy(module), DATA, options) as (session, _):
        store = LocalStore.of(copy.deepcopy(module), session.space)
        outcome = Walker(session)(Walk(store, LEGS, seed=9))
        return parameters_of(outcome.displacement), outcome


def plain(module: nn.Module, options: WalkOptions) -> tuple[Params, nn.Module]:
    module = copy.deepcopy(module)
    for part in module.modules():
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
            part.sparse = False  # torch's dense optimizers take no sparse gradients
    return replay.plain_walk(module, DATA, options, Walk(None, LEGS, seed=9))  # type: ignore[arg-type]


def _compare(found: Params, expected: Params, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        torch.testing.assert_close(found[name], want, rtol=0, atol=tolerance)
    assert any(bool(value.any()) for value in found.values())


@EACH
def test_dense_rows_under_sgd_are_bit_equal(name: str) -> None:
    module, options = (
        make(name),
        WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2), rows="dense", dropout="torch"),
    )
    # Looked up twice in a forward pass, a row's gradients are added one by one, not those of each lookup first.
    near = 2e-7 if name == "shared with a linear layer" else 0.0
    _compare(walked(module, options)[0], plain(module, options)[0], near)


@EACH
def test_dense_rows_under_adam(name: str) -> None:
    module, options = make(name), WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="dense")
    _compare(walked(module, options)[0], plain(module, options)[0], 1e-6)


@EACH
def test_dense_rows_under_adam_in_float64(name: str) -> None:
    module = make(name).double()
    options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01), rows="dense")
    _compare(walked(module, options)[0], plain(module, options)[0], 1e-12)


@EACH
@pytest.mark.parametrize("rule", [inner.SGD(lr=0.2), inner.Adagrad(lr=0.05)], ids=["sgd", "adagrad"])
def test_lazy_rows_where_an_untouched_row_rests_anyway(name: str, rule: inner.SGD | inner.Adagrad) -> None:
    module, options = make(name).double(), WalkOptions(batch_size=8, inner=rule, rows="lazy")
    _compare(walked(module, options)[0], plain(module, options)[0], 1e-12)


SPARSE = [
    "same column twice",
    "one table, two columns",
    "sparse",
    "offsets",
    "hashed",
    "numeric",
    "bag sum",
    "bag offsets",
]


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_adam_is_torchs_sparse_adam(name: str) -> None:
    """Tables under `SparseAdam`, the rest under `Adam`; eps so small that its place in the formula does not matter."""
    module, eps = make(name).double(), 1e-30
    for part in module.modules():
        if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
            part.sparse = True
    tables = {table.name for table in trace(module, DATA.schema).tables}

    def both(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        names = [name for name, _ in module.named_parameters()]
        of_rows = [p for n, p in zip(names, parameters, strict=True) if n in tables]
        others = [p for n, p in zip(names, parameters, strict=True) if n not in tables]
        return Both(
            torch.optim.SparseAdam(of_rows, lr=0.01, eps=eps), torch.optim.Adam(others, lr=0.01, eps=eps)
        )

    options = WalkOptions(batch_size=8, inner=inner.Adam(lr=0.01, eps=eps), rows="sparse")
    expected, _ = replay.plain_walk(module, DATA, options, Walk(None, LEGS, seed=9), both)  # type: ignore[arg-type]
    _compare(walked(module, options)[0], expected, 1e-12)


class Both(torch.optim.Optimizer):
    """Two optimizers as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.parts = parts

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()


def test_auto_rows_are_dense_for_small_tables_and_lazy_for_large_ones() -> None:
    options = WalkOptions(rows="auto")
    for device, most in ("cpu", 1 << 17), ("cuda", 1 << 20):
        assert not options.lazy(most, torch.device(device))
        assert options.lazy(most + 1, torch.device(device))


@pytest.mark.parametrize("rows", ["dense", "lazy"])
def test_nn_dropout_left_to_torch_draws_what_torch_draws(rows: str) -> None:
    module = TwoTables(dropout=0.4)
    options = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2), rows=rows, dropout="torch")  # type: ignore[arg-type]
    _compare(walked(module, options)[0], plain(module, options)[0], 0.0 if rows == "dense" else 1e-6)


def test_batch_norm_statistics_move_as_torchs_do() -> None:
    module, options = make("batch norm"), WalkOptions(batch_size=8, inner=inner.SGD(lr=0.2))
    _, outcome = walked(module, options)
    _, end = plain(module, options)
    buffers = dict(end.named_buffers())
    assert outcome.buffers.keys() == buffers.keys()
    assert all(torch.equal(outcome.buffers[name], buffers[name]) for name in buffers)


def test_batch_norm_goes_by_its_statistics_where_a_batch_has_one_row() -> None:
    data, module = tiny_market((1,), numeric=True), make("batch norm")
    module.norm.running_mean.fill_(0.3)
    batch, labels = next(iter(data.train.batches([0], 8, None)))
    module.eval()
    torch.nn.functional.binary_cross_entropy_with_logits(module(batch), labels).backward()
    with at_work(copy.deepcopy(module), data, WalkOptions(inner=inner.SGD(lr=1.0))) as (session, _):
        outcome = Walker(session)(Walk(LocalStore.of(session.module, session.space), replay.legs(0), seed=1))
    found = parameters_of(outcome.displacement)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(found[name], -parameter.grad, rtol=0, atol=1e-6)
    assert outcome.buffers == {}


@pytest.mark.parametrize("per", ["touch", "row", "pass"])
def test_touched_rows_are_penalised_alone(per: str) -> None:
    """λ Σ‖row‖² over the rows of a batch, each once, dense or lazy: what the loss of a plain module would say; per row,
    λ is shared out over the row's samples in all domains, per pass over the mini-batches that have it."""
    module, lam = make("one table, two columns").double(), 0.03
    model = copy.deepcopy(module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    walk = Walk(None, LEGS, seed=9)  # type: ignore[arg-type]
    lookups = torch.stack([DATA.train.columns["user_id"], DATA.train.columns["item_id"]])
    bounds = DATA.train.offsets.tolist()
    domains = [lookups[:, begin:end].flatten().tolist() for begin, end in itertools.pairwise(bounds)]

    def share(row: int) -> float:
        if per == "touch":
            return 1
        if per == "row":
            return sum(ids.count(row) for ids in domains)
        total = 0.0
        for ids in domains:
            size = len(ids) // 2
            for batch in [8] * (size // 8) + [size % 8]:
                total += 1 - (1 - batch / size) ** ids.count(row)
        return max(1.0, total)

    for number in range(3):
        for batch, labels in replay.batches_of(DATA, walk, number, 8):
            rows = torch.unique(torch.cat([batch["user_id"], batch["item_id"]]))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch), labels.double())
            optimizer.zero_grad()
            for row in rows.tolist():
                loss = loss + lam / share(row) * model.table.weight[row].square().sum()
            loss.backward()
            optimizer.step()
    expected = {name: p.detach() - module.get_parameter(name) for name, p in model.named_parameters()}
    for rows in ("dense", "lazy"):
        options = WalkOptions(
            batch_size=8,
            inner=inner.SGD(lr=0.2),
            rows=rows,
            embedding_l2=lam,
            embedding_l2_per=per,  # type: ignore[arg-type]
        )
        _compare(walked(module, options)[0], expected, 1e-12)


@EACH
def test_predictions_are_those_of_the_plain_module(name: str) -> None:
    module = make(name)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        batch, _ = next(iter(DATA.test.batches([1], 100, None)))
        expected = torch.sigmoid(copy.deepcopy(module).eval()(batch))
    with at_work(copy.deepcopy(module), DATA) as (session, _):
        store = LocalStore.of(copy.deepcopy(module), session.space)
        found = Predictor(session, DATA.test, {})(store, 1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
