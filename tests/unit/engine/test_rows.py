"""How often training rows, and their mini-batches, look up each row of a table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.engine.zoo import make

from mamdr import models
from mamdr.data.domains import Dataset, Ragged
from mamdr.engine import trace
from mamdr.engine.rows import Rows
from mamdr.testing import tiny_market

DATA = tiny_market()


def _samples(module: torch.nn.Module, data: Dataset) -> dict[str, list[float]]:
    space = trace(module, data.schema)
    rows = Rows(module, space, data.train)
    return {table.name: rows.samples(t).tolist() for t, table in enumerate(space.tables)}


def _counted(values: list[int], size: int) -> list[float]:
    return [float(values.count(row)) for row in range(size)]


def test_samples_are_counted_by_column_and_over_columns_that_share_a_table() -> None:
    train, ids = DATA.train.columns, DATA.schema.ids
    every = [*train["user_id"].tolist(), *train["item_id"].tolist()]
    found = _samples(make("one table, two columns"), DATA)
    assert found == {"table.weight": _counted(every, len(found["table.weight"]))}
    found = _samples(make("same column twice"), DATA)
    assert list(found.values()) == [_counted(train["user_id"].tolist(), ids["user_id"])] * 2
    found = _samples(models.build("mlp", DATA.schema, {"embedding": 2, "hidden": (2,)}), DATA)
    assert DATA.train.offsets.diff().double().tolist() in found.values()  # the domains' embedding


@pytest.mark.parametrize("name", ["offsets", "hashed"])
def test_samples_are_counted_where_the_module_makes_its_own_ids(name: str) -> None:
    module = make(name)
    seen: list[int] = []
    for owner in (m for m in module.modules() if isinstance(m, torch.nn.Embedding)):
        owner.register_forward_pre_hook(lambda _, args: seen.extend(args[0].reshape(-1).tolist()))
    for domain in range(len(DATA.schema.domains)):
        for batch, _ in DATA.train.batches([domain], 1 << 20, None):
            module(batch)
    expected = list(seen)
    (found,) = _samples(module, DATA).values()
    assert found == _counted(expected, len(found))


def test_samples_of_a_list_are_those_of_its_values() -> None:
    lists = Ragged(np.array([1, 2, 2, 3], np.int32), np.array([0, 1, 4]))
    rows = {
        "user_id": np.array([0, 1]),
        "item_id": np.array([0, 0]),
        "item:tags": lists,
        "domain": np.array([0, 0]),
        "label": np.array([0, 1]),
    }
    data = Dataset.from_arrays("lists", ["a"], {split: rows for split in ("train", "val", "test")})
    module = models.build("mlp", data.schema, {"embedding": 2, "hidden": (2,)})
    (tags,) = (values for name, values in _samples(module, data).items() if len(values) == 4)
    assert tags == [0.0, 1.0, 2.0, 1.0]


def _market(sizes: list[int], items: int, seed: int) -> Dataset:
    """Domains of these many rows, each with items of its own."""
    draw, rows = np.random.default_rng(seed), []
    for domain, size in enumerate(sizes):
        item = domain * items + draw.integers(items, size=size) ** 2 // items
        rows.append(
            np.stack([draw.integers(50, size=size), item, np.full(size, domain), np.arange(size) % 2])
        )
    users, item_ids, domains, labels = np.concatenate(rows, 1)
    split = {"user_id": users, "item_id": item_ids, "domain": domains, "label": labels}
    return Dataset.from_arrays(
        "m", [f"d{i}" for i in range(len(sizes))], {s: split for s in ("train", "val", "test")}
    )


def test_touches_are_the_mini_batches_of_a_pass_that_look_up_a_row() -> None:
    """Counted in 300 passes as the walk makes them: items of the small domains are in a few mini-batches only."""
    data, size = _market([3000, 260, 40, 0, 32], 30, 1), 32
    module = models.build("mlp", data.schema, {"embedding": 2, "hidden": (2,)})
    space = trace(module, data.schema)
    rows, seen = Rows(module, space, data.train), np.zeros(data.schema.ids["item_id"])
    for seed in range(300):
        for domain in range(5):
            for batch, _ in data.train.batches([domain], size, np.random.default_rng([seed, domain])):
                seen[np.unique(batch["item_id"].numpy())] += 1 / 300
    table = next(t for t, table in enumerate(space.tables) if table.columns == ("item_id",))
    touches, samples = rows.touches(table, size).numpy(), rows.samples(table).numpy()
    np.testing.assert_allclose(touches, seen, rtol=0.15)
    assert abs(touches.sum() / seen.sum() - 1) < 0.02
    assert (touches <= samples + 1e-9).all()
    assert ((touches >= 1 - 1e-6) | (samples == 0)).all()
    frequent = samples[:30].argmax()
    assert samples[frequent] > 100
    assert touches[frequent] < 0.95 * samples[frequent]
    at_once = rows.touches(table, 1 << 20)
    np.testing.assert_array_equal(at_once, np.minimum(1, samples))  # items are of one domain


def test_unions_of_many_sets_are_those_of_each() -> None:
    module = models.build("mlp", DATA.schema, {"embedding": 2, "hidden": (2,)})
    rows = Rows(module, trace(module, DATA.schema), DATA.train)
    domains = range(len(DATA.schema.domains))
    wanted = [[], *([a, b] for a in domains for b in domains), list(domains)]
    for ids, some in zip(rows.unions(wanted), wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ids, rows.union(some), strict=True))
    assert rows.unions([]) == []
