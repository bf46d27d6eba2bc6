"""Vectors by GraphSAGE: the paper's equations, what they are made of, and what no row but train's may change."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.oracles import graph as oracle

from mamdr.data import graph_sage
from mamdr.data.building import build
from mamdr.data.domains import SPLITS, Dataset
from mamdr.data.graph import Graph
from mamdr.data.graph_sage import GraphSage, Sage, add_vectors, edge_loss
from mamdr.errors import ConfigError, DataError
from mamdr.seeds import generator

TINY = GraphSage(width=6, passes=2, batch_size=16, neighbours=(3, 2), negatives=4)


def tribes(rows: int = 900, tribes: int = 3, users: int = 60, items: int = 45) -> Dataset:
    """Users of a tribe meet the tribe's items alone, in two domains."""
    draw = generator(1, "tribes")
    user = draw.integers(users, size=rows)
    item = draw.integers(items // tribes, size=rows) * tribes + user % tribes
    table = {
        "user_id": [f"u{n:02}" for n in user],
        "item_id": [f"i{n:02}" for n in item],
        "domain": [f"d{n % 2}" for n in range(rows)],
    }
    return build(pl.DataFrame(table), name="tribes", ctr_ratio=0.5)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return tribes()


def train_pairs(data: Dataset) -> set[tuple[int, int]]:
    columns, liked = data.train.columns, data.train.labels.numpy() == 1
    pairs = zip(columns["user_id"].tolist(), columns["item_id"].tolist(), liked, strict=True)
    return {(user, item) for user, item, one in pairs if one}


def vectors(data: Dataset) -> list[np.ndarray[Any, Any]]:
    return [data.schema.vectors[name].numpy() for name in ("user_id", "item_id")]


def test_edges_are_trains_positives_once(data: Dataset) -> None:
    graph = Graph.of_train(data)
    users = data.schema.ids["user_id"]
    assert {(u, i - users) for u, i in graph.edges.tolist()} == train_pairs(data)
    assert len(graph.edges) == len(train_pairs(data))
    for node in (2, users + 2):
        met = graph.targets[graph.starts[node] : graph.starts[node + 1]].tolist()
        other = {u if node == i else i for u, i in graph.edges.tolist() if node in (u, i)}
        assert sorted(met) == sorted(other)
        assert graph.degrees[node] == len(met)


def test_neighbours_are_drawn_evenly(data: Dataset) -> None:
    graph = Graph.of_train(data)
    node = int(graph.degrees.argmax())
    drawn = graph.drawn(torch.tensor([node, node]), 20_000, torch.Generator().manual_seed(1))
    met, counts = drawn.unique(return_counts=True)
    assert met.tolist() == sorted(graph.targets[graph.starts[node] : graph.starts[node + 1]].tolist())
    assert counts.double().mul(len(met) / 40_000).tolist() == pytest.approx([1] * len(met), abs=0.15)


@pytest.mark.parametrize("limit", [1, 7, 1 << 18])
def test_whole_vectors_are_the_papers(data: Dataset, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_sage, "_EDGES", limit)
    graph, users = Graph.of_train(data), data.schema.ids["user_id"]
    torch.manual_seed(3)
    module = Sage(len(graph.degrees), 5)
    made = module.whole(graph)
    names = [f"u{n}" if n < users else f"i{n - users}" for n in range(len(graph.degrees))]
    met = oracle.neighbours({(f"u{u}", f"i{i}") for u, i in train_pairs(data)})
    values: dict[str, Any] = {
        names[n]: row for n, row in enumerate(module.start.weight.tolist()) if names[n] in met
    }
    for number, layer in enumerate(module.layers):
        weights = (layer.lin_r.weight.tolist(), layer.lin_l.weight.tolist(), layer.lin_l.bias.tolist())
        values = oracle.layer(values, met, *weights, relu=number == 0)
    for n, name in enumerate(names):
        if name in values:
            assert made[n].tolist() == pytest.approx(oracle.unit(values[name]), abs=1e-5)


def test_drawn_vectors_are_the_whole_ones_where_there_is_one_neighbour_to_draw() -> None:
    rows = {name: np.arange(4) for name in ("user_id", "item_id")}
    rows |= {"domain": np.zeros(4, np.int64), "label": np.ones(4, np.int64)}
    graph = Graph.of_train(Dataset.from_arrays("pairs", ["d"], dict.fromkeys(SPLITS, rows)))
    torch.manual_seed(1)
    module = Sage(8, 3)
    nodes = torch.tensor([0, 5, 3])
    drawn = module(graph, nodes, (2, 3), torch.Generator().manual_seed(1))
    assert torch.allclose(drawn, module.whole(graph)[nodes], atol=1e-6)


def test_the_loss_is_the_equations() -> None:
    torch.manual_seed(1)
    users, items, others = torch.randn(4, 3), torch.randn(4, 3), torch.randn(5, 3)
    edges = list(zip(users.tolist(), items.tolist(), strict=True))
    assert edge_loss(users, items, others, 0.5).item() == pytest.approx(
        oracle.loss(edges, others.tolist(), 0.5), rel=1e-5
    )
    same = torch.zeros(1, 3)
    assert edge_loss(same, same, same, 0.2).item() == pytest.approx(2 * np.log(2))


def test_vectors_tell_tribes_apart_on_rows_they_have_not_seen(data: Dataset) -> None:
    made = add_vectors(data, dataclasses.replace(TINY, width=16, passes=10, lr=0.02))
    users, items = vectors(made)
    columns = made.test.columns
    scores = (users[columns["user_id"].numpy()] * items[columns["item_id"].numpy()]).sum(1)
    assert roc_auc_score(made.test.labels.numpy(), scores) > 0.8


def test_val_and_test_are_not_seen(data: Dataset) -> None:
    poisoned = tribes()
    for part in (poisoned.val, poisoned.test):
        for name, values in part.columns.items():
            values.copy_(torch.randint(2, data.schema.ids[name], values.shape, dtype=values.dtype))
        part.labels.fill_(1)
    assert not torch.equal(data.val.labels, poisoned.val.labels)
    for one, two in zip(vectors(add_vectors(data, TINY)), vectors(add_vectors(poisoned, TINY)), strict=True):
        assert one.tobytes() == two.tobytes()
    assert vectors(add_vectors(poisoned, TINY))[0].any()


def test_negatives_of_train_are_not_seen(data: Dataset) -> None:
    fewer = build_without_negatives(data)
    for one, two in zip(vectors(add_vectors(data, TINY)), vectors(add_vectors(fewer, TINY)), strict=True):
        assert one.tobytes() == two.tobytes()


def build_without_negatives(data: Dataset) -> Dataset:
    liked = data.train.labels.numpy() == 1
    owner = np.repeat(np.arange(len(data.schema.domains)), np.diff(data.train.offsets.numpy()))
    rows = {name: values.numpy()[liked] for name, values in data.train.columns.items()}
    rows |= {"domain": owner[liked], "label": data.train.labels.numpy()[liked]}
    return Dataset.from_arrays(
        data.name,
        data.schema.domains,
        dict.fromkeys(SPLITS, rows),
        data.schema.ids,
        vocabularies=data.vocabularies,
    )


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before(data: Dataset) -> None:
    one = add_vectors(data, TINY, seed=4)
    state = torch.get_rng_state()
    torch.rand(7)
    two = add_vectors(data, TINY, seed=4)
    assert one.fingerprint == two.fingerprint != add_vectors(data, TINY, seed=5).fingerprint
    torch.set_rng_state(state)
    add_vectors(data, TINY)
    assert torch.equal(torch.get_rng_state(), state)


def test_who_met_nobody_has_the_mean_and_padding_has_zeros(data: Dataset) -> None:
    made = add_vectors(data, TINY)
    pairs = train_pairs(data)
    for side, own in enumerate(vectors(made)):
        met = sorted({pair[side] for pair in pairs})
        others = sorted(set(range(1, len(own))) - set(met))
        assert 1 in others  # the unknown id
        for number in others:
            assert own[number] == pytest.approx(own[met].mean(0), abs=1e-6)
        assert not own[0].any()
        assert np.linalg.norm(own[met], axis=1) == pytest.approx(1, abs=1e-5)


def test_they_are_kept_with_the_data(data: Dataset, tmp_path: Any) -> None:
    made = add_vectors(data, TINY, seed=2)
    made.save(tmp_path / "d")
    loaded = Dataset.load(tmp_path / "d")
    assert loaded.fingerprint == made.fingerprint != data.fingerprint
    assert loaded.options["features"]["method"] == "graphsage"
    assert loaded.options["features"]["seed"] == 2
    assert vectors(loaded)[1].tobytes() == vectors(made)[1].tobytes()
    assert not data.schema.vectors


def test_what_cannot_be_is_told(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="tribes has vectors for user_id"):
        add_vectors(add_vectors(data, TINY), TINY)
    nobody = build_without_negatives(data)
    nobody.train.labels.fill_(0)
    with pytest.raises(DataError, match="train has no positives"):
        add_vectors(nobody, TINY)
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    with pytest.raises(ConfigError, match=r"PyTorch Geometric is not installed.*mamdr\[graph\]"):
        add_vectors(data, TINY)
