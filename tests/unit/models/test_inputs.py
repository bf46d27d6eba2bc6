"""The feature layer: every kind of feature, each pooling, shared tables, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from tests.oracles.features import pooled
from tests.unit.models.zoo import listed, lively, mixed_batch, one_domain
from torch import nn

from mamdr import strategies
from mamdr.data.domains import Schema
from mamdr.engine import WalkOptions, trace
from mamdr.engine.inner import Adam
from mamdr.errors import ConfigError, ModelError
from mamdr.models import Features, build
from mamdr.models.features import Pooling, choose
from mamdr.models.fields import Fields, Wide
from mamdr.models.inputs import Inputs
from mamdr.strategies import MAMDR, Alternate
from mamdr.strategies.registry import STRATEGIES
from mamdr.testing import parameters_of, same_bits, tiny_market, train

DATA = tiny_market(numeric=True, lists=True)
SCHEMA = DATA.schema
EVERY = ["mean", "sum", "max"]


def _pooling(word: Pooling) -> Features:
    return choose(SCHEMA, {"pooling": word})


def _oracle(inputs: Inputs, batch: dict[str, torch.Tensor], row: int, pooling: str) -> list[float]:
    """One row's vector, column by column."""
    out: list[float] = []
    for name, table in zip(SCHEMA.ids, inputs.tables, strict=False):
        vectors, ids = listed(table.weight), batch[name][row].tolist()
        out += pooled(ids, vectors, pooling) if name in SCHEMA.lists else vectors[ids]
    out += [batch[name][row].item() for name in SCHEMA.numeric]
    return out + listed(inputs.tables[-1].weight)[int(batch["domain"][row])]


@pytest.mark.parametrize("pooling", EVERY)
def test_a_row_is_what_plain_loops_make_of_it(pooling: Pooling) -> None:
    inputs = lively(Inputs(_pooling(pooling), 3))
    assert isinstance(inputs, Inputs)
    batch = mixed_batch(40, SCHEMA)
    assert any(not ids.any() for ids in batch["item:tags"])  # an empty list is among them
    wanted = torch.tensor([_oracle(inputs, batch, row, pooling) for row in range(40)], dtype=torch.float64)
    torch.testing.assert_close(inputs(batch), wanted)
    assert inputs.width == wanted.shape[1] == 3 * (len(SCHEMA.ids) + 1) + 1
    rows, constant = inputs.split(one_domain(batch, 2))
    assert constant is not None
    torch.testing.assert_close(torch.cat([rows, constant.expand(40, -1)], 1), inputs(one_domain(batch, 2)))


def test_hand_computed() -> None:
    schema = Schema(("a",), {"item:tags": 4}, (), {"item:tags": 3})
    batch = {"item:tags": torch.tensor([[1, 2, 0], [3, 0, 0], [0, 0, 0]]), "domain": torch.zeros(3).long()}
    for pooling, wanted in (
        ("mean", [[1.0, 1.5], [5.0, -6.0], [0.0, 0.0]]),
        ("sum", [[2.0, 3.0], [5.0, -6.0], [0.0, 0.0]]),
        ("max", [[3.0, 4.0], [5.0, -6.0], [0.0, 0.0]]),
    ):
        inputs = Inputs(choose(schema, {"pooling": {"item:tags": pooling}}), 2, domain_embedding=False)
        weight = torch.tensor([[9.0, 9.0], [3.0, -1.0], [-1.0, 4.0], [5.0, -6.0]])
        with torch.no_grad():
            inputs.tables[0].weight.copy_(weight)  # type: ignore[operator]
        assert listed(inputs(batch)) == wanted


@pytest.mark.parametrize("pooling", EVERY)
def test_padding_starts_at_zero_and_never_trains(pooling: Pooling) -> None:
    """Neither by gradients nor by the penalty on rows, eager or lazy."""
    for rows in ("dense", "lazy"):
        options = WalkOptions(batch_size=8, inner=Adam(lr=0.01), embedding_l2=0.1, rows=rows)
        module = build("mlp", SCHEMA, {"embedding": 3, "hidden": [4], "features": {"pooling": pooling}})
        state = train(module, DATA, MAMDR(num_helpers=1), 1, options=options)
        tables = parameters_of(state.shared)
        tags = tables[f"inputs.tables.{list(SCHEMA.ids).index('item:tags')}.weight"]
        assert not tags[0].any()
        assert tags[1:].abs().max() > 1e-3


def test_longer_padding_changes_no_bit() -> None:
    module = build("mlp", SCHEMA, {"embedding": 4, "hidden": [4]}).eval()
    batch = mixed_batch(30, SCHEMA) | {"price": torch.randn(30)}
    longer = {
        name: nn.functional.pad(column, (0, 5)) if name in SCHEMA.lists else column
        for name, column in batch.items()
    }
    assert torch.equal(module(batch), module(longer))


def test_columns_that_share_ids_share_one_table() -> None:
    inputs = Inputs(SCHEMA, 3)
    names = list(SCHEMA.ids)
    item, history = (inputs.tables[names.index(name)] for name in ("item_id", "user:history"))
    assert item.weight is history.weight
    space = trace(build("mlp", SCHEMA, {"embedding": 3}), SCHEMA)
    columns = {table.columns for table in space.tables}
    assert columns == {("user_id",), ("item_id", "user:history"), ("hour",), ("item:tags",), ("domain",)}


def test_two_plain_columns_may_share() -> None:
    schema = Schema(("a",), {"item_id": 5, "user:last": 5}, shared={"user:last": "item_id"})
    inputs = lively(Inputs(schema, 2, domain_embedding=False))
    batch = {"item_id": torch.tensor([1, 4]), "user:last": torch.tensor([4, 1])}
    assert isinstance(inputs, Inputs)
    assert len(list(inputs.parameters())) == 1
    assert torch.equal(inputs(batch)[0], inputs(batch)[1][[2, 3, 0, 1]])


@pytest.mark.parametrize("pooling", EVERY)
def test_lists_train_the_same_lazily_and_eagerly(pooling: Pooling) -> None:
    module = build("mlp", SCHEMA, {"embedding": 3, "hidden": [4], "features": {"pooling": pooling}})
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "tables" in name:
                parameter.mul_(1e4)  # far from zero, so that every gradient counts
    lazy, eager = (
        train(
            module,
            DATA,
            Alternate(),
            2,
            options=WalkOptions(batch_size=8, inner=Adam(lr=0.01), rows=rows),
        )
        for rows in ("lazy", "dense")
    )
    for a, b in zip(parameters_of(lazy.shared).values(), parameters_of(eager.shared).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - {"then", "finetune"}))  # those are made of others
def test_every_strategy_trains_on_lists(name: str) -> None:
    module = build("mlp", SCHEMA, {"embedding": 3, "hidden": [4], "features": {"pooling": "max"}})
    strategy = strategies.build(name, {"num_helpers": 1} if name in ("dr", "mamdr") else {})
    assert torch.isfinite(train(module, DATA, strategy, 1).shared.dense).all()


def test_processes_give_the_same_bits() -> None:
    module = build("deepfm", SCHEMA, {"embedding": 3, "hidden": [4]})
    one, two = (train(module, DATA, MAMDR(num_helpers=1), 1, jobs=jobs) for jobs in (1, 2))
    assert same_bits(one, two)


@pytest.mark.parametrize("pooling", EVERY)
def test_gradients(pooling: Pooling) -> None:
    """Those of the lookup in float64 are those that differences say."""
    schema = choose(Schema(("a",), {"item:tags": 5}, (), {"item:tags": 3}), {"pooling": pooling})
    inputs = lively(Inputs(schema, 2, domain_embedding=False))
    batch = {"item:tags": torch.tensor([[1, 2, 4], [3, 0, 0], [0, 0, 0], [2, 4, 0]])}
    weight = inputs.get_parameter("tables.0.weight")

    def of(values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(inputs, {"tables.0.weight": values}, (batch,))  # type: ignore[return-value]

    start = weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(of, (start,))
    assert torch.autograd.gradgradcheck(lambda values: of(values) ** 3, (start,))
    once, twice = (
        torch.autograd.grad(of(start).sum(), start, create_graph=graph)[0] for graph in (False, True)
    )
    torch.testing.assert_close(once, twice)
    assert not once[0].any()


def test_fields_and_the_linear_part_take_lists() -> None:
    fields, wide = lively(Fields(SCHEMA, 3)), lively(Wide(SCHEMA))
    assert isinstance(fields, Fields)
    assert isinstance(wide, Wide)
    batch = mixed_batch(20, SCHEMA)
    rows, _, vectors = fields(batch)
    place = list(SCHEMA.ids).index("item:tags")
    torch.testing.assert_close(vectors[:, place], rows[:, 3 * place : 3 * place + 3])
    weights = listed(wide.inputs.tables[place].weight)
    empty = batch | {"item:tags": torch.zeros(20, 1, dtype=torch.int64)}
    moved = (wide(batch) - wide(empty)).tolist()
    for row, difference in enumerate(moved):
        assert math.isclose(
            difference, pooled(batch["item:tags"][row].tolist(), weights, "mean")[0], abs_tol=1e-9
        )


def test_a_model_need_not_see_every_feature() -> None:
    module = build(
        "mlp", SCHEMA, {"embedding": 3, "hidden": [4], "features": {"without": ["item_id", "price"]}}
    )
    assert isinstance(module.inputs, Inputs)
    assert module.inputs.columns == ("user_id", "hour", "item:tags", "user:history")
    assert torch.isfinite(train(module, DATA, Alternate(), 1).shared.dense).all()


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (
            {"pooling": "median"},
            ConfigError,
            "model.features.pooling = 'median'; expected 'mean', 'sum' or 'max'",
        ),
        (
            {"pooling": {"item:tags": "min"}},
            ConfigError,
            "model.features.pooling.*'min'.*'mean', 'sum' or 'max'",
        ),
        (
            {"pooling": {"item:tag": "max"}},
            ModelError,
            "pooling names 'item:tag'; .*Did you mean 'item:tags'",
        ),
        (
            {"pooling": {"hour": "max"}},
            ModelError,
            "pooling names 'hour'; expected one of the data's columns item:t",
        ),
        (
            {"without": ["user:age"]},
            ModelError,
            "without names 'user:age'; expected one of the data's columns user_id",
        ),
        ({"without": list(SCHEMA.features)}, ModelError, "names every feature"),
        ({"pool": "max"}, ConfigError, "unknown key model.features.pool"),
        ({"without": "hour"}, ConfigError, "model.features.without = 'hour'"),
    ],
)
def test_choices_that_cannot_be_are_one_line(features: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        build("mlp", SCHEMA, {"features": features})
    assert "\n" not in str(raised.value)


def test_frozen_vectors_of_width_zero() -> None:
    with pytest.raises(ModelError, match=r"shape \(17, 0\) for 'item_id'; expected \[17, 1 or more\]"):
        Inputs(SCHEMA, 3, frozen={"item_id": torch.empty(17, 0)})
