"""Shared-Bottom, MMOE, CGC, PLE and STAR: the suite, scores equal to plain loops, rows routed to their domain."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.oracles import models as oracle
from tests.unit.models.zoo import (
    SCHEMA,
    SMALL,
    experts_of,
    input_of,
    larger,
    layer_of,
    layers_of,
    listed,
    lively,
    mixed_batch,
    network_of,
    one_domain,
    split_layers,
    tables_of,
    without_dropout,
)
from torch import nn

from mamdr.data.domains import Batch, Schema
from mamdr.engine import trace
from mamdr.errors import ConfigError
from mamdr.models import CGC, MMOE, MODELS, PLE, STAR, SharedBottom, build
from mamdr.models import routing as routing_of_rows
from mamdr.models.routing import Routing
from mamdr.strategies import Alternate
from mamdr.testing import ModelConformance, tiny_market
from mamdr.testing.lab import parameters_of, train

NAMES = [
    "shared_bottom",
    "mmoe",
    "cgc",
    "ple",
    "star",
    "sar_net",
    "hinet",
    "mlora",
    "pepnet",
    "m2m",
    "adasparse",
]
HERE = NAMES[:5]  # the others have files of their own, for what is theirs alone


class TestPLEWithLinearGatesAndNoDomainEmbedding(ModelConformance):
    def module(self, schema: Schema) -> nn.Module:
        return build("ple", schema, SMALL["ple"] | {"gates": [], "domain_embedding": False})

    def learner(self, schema: Schema) -> nn.Module:
        return build("ple", schema, larger(SMALL["ple"]) | {"gates": [], "domain_embedding": False})


def _level(level: Any, domain: int, own: list[float], common: list[float]) -> tuple[list[float], list[float]]:
    return oracle.extraction(
        own,
        common,
        specific=experts_of(level.own, domain),
        shared=experts_of(level.shared),
        gate=network_of(level.gates, domain),
        shared_gate=None if level.gate is None else layers_of(level.gate),
    )


def _star(module: STAR, x: list[float], domain: int) -> float:
    norm: Any = module.norm
    features, width = x[: module.width], module.width
    own = listed(norm.own.weight[domain])
    scales = [listed(norm.scale), [1 + value for value in own[:width]]]
    shifts = [listed(norm.shift), own[width:]]
    mean, variance = listed(norm.mean[domain]), listed(norm.variance[domain])
    normal = oracle.partitioned_norm(features, mean, variance, scales, shifts, 1e-5)
    shared: list[Any] = list(module.star.shared)
    specific = []
    for layer, table in zip(shared, module.star.own, strict=True):
        [(kernel, bias)] = split_layers(listed(table.weight[domain]), layer.out_features, layer.in_features)  # type: ignore[operator, union-attr, index]
        specific.append(([[1 + value for value in row] for row in kernel], bias))
    main = oracle.star([layer_of(layer) for layer in shared], specific, normal)[0]
    return main + oracle.network([*layers_of(module.auxiliary), layer_of(module.out)], x)[0]


def _expected(module: nn.Module, batch: Batch, row: int) -> float:
    x, domain = input_of(module.inputs, batch, row), int(batch["domain"][row])
    if isinstance(module, STAR):
        return _star(module, x, domain)
    tower = network_of(module.towers, domain)
    if isinstance(module, SharedBottom):
        return oracle.network(tower, oracle.hidden(layers_of(module.bottom), x))[0]
    if isinstance(module, MMOE):
        experts = [oracle.hidden(expert, x) for expert in experts_of(module.experts)]
        return oracle.network(tower, oracle.mixture(network_of(module.gates, domain), x, experts))[0]
    if isinstance(module, CGC):
        return oracle.network(tower, _level(module.level, domain, x, x)[0])[0]
    assert isinstance(module, PLE)
    own, common = x, x
    for level in module.levels:
        own, common = _level(level, domain, own, common)
    return oracle.network(tower, own)[0]


@pytest.mark.parametrize("name", HERE)
def test_scores_are_the_oracles(name: str) -> None:
    module, batch = lively(build(name, SCHEMA, SMALL[name])), mixed_batch(8)
    expected = [_expected(module, batch, row) for row in range(8)]
    torch.testing.assert_close(module(batch), torch.tensor(expected, dtype=torch.float64))


def test_one_level_of_ple_is_cgc() -> None:
    cgc = lively(build("cgc", SCHEMA, SMALL["cgc"]))
    ple = lively(build("ple", SCHEMA, SMALL["cgc"] | {"levels": 1}))
    torch.testing.assert_close(cgc(mixed_batch()), ple(mixed_batch()))


@pytest.mark.parametrize("name", NAMES)
def test_a_mixed_batch_scores_as_batches_of_one_domain(name: str) -> None:
    module, batch = lively(build(name, SCHEMA, SMALL[name])), mixed_batch()
    scores = module(batch)
    for domain in range(len(SCHEMA.domains)):
        mine = batch["domain"] == domain
        alone = module(one_domain({key: column[mine] for key, column in batch.items()}, domain))
        torch.testing.assert_close(scores[mine], alone)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cached", [1, 60])
def test_scores_without_gradients_are_those_with(
    name: str, cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few domains' values are copied at once."""
    module, batch = lively(build(name, SCHEMA, SMALL[name])), mixed_batch(30)
    scores = module(batch)
    monkeypatch.setattr(routing_of_rows, "_CACHED", cached)
    with torch.no_grad():
        torch.testing.assert_close(module(batch), scores)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name != "adasparse"]
)  # has a loss of the whole batch
def test_a_mixed_batch_trains_as_batches_of_one_domain(name: str) -> None:
    """The same gradients, and the same running statistics."""
    batch, gradients, statistics = mixed_batch(40), [], []
    parts = [batch]
    for domain in range(len(SCHEMA.domains)):
        mine = batch["domain"] == domain
        parts.append(one_domain({key: column[mine] for key, column in batch.items()}, domain))
    for batches in (parts[:1], parts[1:]):
        module = lively(build(name, SCHEMA, without_dropout(SMALL[name]))).train()
        for part in batches:
            module(part).square().sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
        statistics.append(list(module.buffers()))
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(statistics[0], statistics[1])


@pytest.mark.parametrize("name", NAMES)
def test_domains_differ(name: str) -> None:
    module = lively(build(name, SCHEMA, SMALL[name]))
    first, second = (module(one_domain(mixed_batch(), domain)) for domain in (0, 1))
    assert not torch.isclose(first, second).any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mixed", [True, False])
def test_a_domains_rows_give_no_other_domain_a_gradient(name: str, mixed: bool) -> None:
    module = lively(build(name, SCHEMA, SMALL[name])).train()
    batch = one_domain(mixed_batch(), 2)
    if mixed:
        batch["domain"] = torch.tensor([2, 0]).repeat(12)
    module(batch).square().sum().backward()
    tables = tables_of(module)
    assert tables
    for table in tables:
        moved = table.weight.grad.abs().sum(1) > 0
        assert moved.tolist() == [mixed, False, True, False]


@pytest.mark.parametrize("name", NAMES)
def test_training_on_a_domain_leaves_the_others_alone(name: str) -> None:
    """Through the engine: only the trained domain's rows and statistics are other than before."""
    data = tiny_market((0, 0, 30, 0), numeric=True)
    module = build(name, data.schema, SMALL[name])
    before = parameters_of(train(module, data, Alternate(), rounds=0).shared)
    state = train(module, data, Alternate(), rounds=2)
    after = parameters_of(state.shared)
    kept = [key for key in before if any(key == f"{path}.weight" for path in _paths(module))]
    assert len(kept) == len(tables_of(module))
    for key in kept:
        same = (before[key] == after[key]).all(1).tolist()
        assert same == [True, True, False, True], key


def _paths(module: nn.Module) -> list[str]:
    tables = tables_of(module)
    return [path for path, part in module.named_modules() if any(part is table for table in tables)]


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_knows_that_domains_feed_every_table_of_theirs(name: str) -> None:
    module = build(name, SCHEMA, SMALL[name])
    columns = {table.name: table.columns for table in trace(module, SCHEMA).tables}
    for path in _paths(module):
        assert columns[f"{path}.weight"] == ("domain",)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pepnet"])  # some gradients are stopped
def test_gradients_are_right(name: str) -> None:
    """Against differences, in float64, of a mixed batch and of one domain's."""
    module = lively(build(name, SCHEMA, SMALL[name]))
    names, values = zip(*module.named_parameters(), strict=True)
    mixed = {key: column[:5] for key, column in mixed_batch().items()}
    for batch in (mixed, one_domain(mixed, 1)):

        def scores(*moved: torch.Tensor, batch: Batch = batch) -> torch.Tensor:
            held = dict(zip(names, moved, strict=True))
            out: torch.Tensor = torch.func.functional_call(module, held, (batch,))
            return out

        assert torch.autograd.gradcheck(scores, values, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_forward_pass_of_many_domains_reads_the_batchs_alone(name: str) -> None:
    """What is not of the batch's domain may be anything, even no number."""
    module = lively(build(name, SCHEMA, SMALL[name]))
    batch = one_domain(mixed_batch(), 1)
    expected = module(batch)
    with torch.no_grad():
        for table in tables_of(module):
            table.weight[[0, 2, 3]] = torch.nan
    torch.testing.assert_close(module(batch), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_module_scores_the_same(name: str) -> None:
    module = lively(build(name, SCHEMA, SMALL[name]))
    other = build(name, SCHEMA, SMALL[name]).double().eval()
    other.load_state_dict(copy.deepcopy(module.state_dict()))
    assert torch.equal(module(mixed_batch()), other(mixed_batch()))


@pytest.mark.parametrize("name", NAMES)
def test_one_domain_is_enough(name: str) -> None:
    schema = Schema(("only",), dict(SCHEMA.ids), SCHEMA.numeric)
    module = lively(build(name, schema, SMALL[name]))
    batch = mixed_batch(6, schema)
    torch.testing.assert_close(module(batch), module(one_domain(batch, 0)))


def test_experts_and_towers_start_from_different_draws() -> None:
    module = build("mmoe", SCHEMA, SMALL["mmoe"])
    assert isinstance(module, MMOE)
    first = module.experts.weights[0]
    assert not torch.equal(first[0], first[1])
    tower = tables_of(module.towers)[0].weight
    assert not torch.equal(tower[0], tower[1])
    assert not tower[:, 20:].any()  # biases of 4 after kernels of 5 · 4


def test_the_papers_sizes_are_the_default() -> None:
    configs: dict[str, Any] = {name: MODELS[name][0]() for name in HERE}
    assert {config.embedding for config in configs.values()} == {128}
    assert {config.dropout for config in configs.values()} == {0.5}
    assert (configs["shared_bottom"].hidden, configs["shared_bottom"].towers) == ((512, 256, 128), (64,))
    assert (configs["mmoe"].experts, configs["mmoe"].count) == ((512, 256, 128), 2)
    assert (configs["mmoe"].gates, configs["mmoe"].towers) == ((64,), (64,))
    for name, levels in (("cgc", 1), ("ple", 2)):
        config = configs[name]
        assert (config.experts, config.towers, config.gates) == ((256,), (64,), (64,))
        assert (config.shared, config.specific, getattr(config, "levels", 1)) == (2, 10, levels)
    assert configs["star"].hidden == (256, 128, 64)


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("shared_bottom", "hidden", [8, 0], "model.hidden.1 = 0; expected greater than or equal to 1"),
        ("shared_bottom", "towers", [], "model.towers = .*at least 1 item"),
        ("mmoe", "count", 1, "model.count = 1; expected greater than or equal to 2"),
        ("mmoe", "experts", [0], "model.experts.0 = 0; expected greater than or equal to 1"),
        ("cgc", "shared", 0, "model.shared = 0; expected greater than or equal to 1"),
        ("ple", "specific", -1, "model.specific = -1; expected greater than or equal to 1"),
        ("ple", "levels", 0, "model.levels = 0; expected greater than or equal to 1"),
        ("sar_net", "specific", 0, "model.specific = 0; expected greater than or equal to 1"),
        ("sar_net", "experts", [0], "model.experts.0 = 0; expected greater than or equal to 1"),
        ("hinet", "sub", 0, "model.sub = 0; expected greater than or equal to 1"),
        ("hinet", "scenarios", 0, "model.scenarios = 0; expected greater than or equal to 1"),
        ("hinet", "tower", [0], "model.tower.0 = 0; expected greater than or equal to 1"),
        ("hinet", "domain_embedding", False, "unknown key model.domain_embedding"),
        ("star", "auxiliary", [0], "model.auxiliary.0 = 0; expected greater than or equal to 1"),
        ("star", "domain_embedding", False, "unknown key model.domain_embedding"),
    ],
)
def test_settings_that_cannot_be_are_told_at_once(name: str, key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, SCHEMA, {key: value})


def test_routing_finds_each_row_its_domain() -> None:
    """Domains of as many rows (to a power of two) together, filled up; every row back in its place."""
    domain = torch.tensor([3, 1, 3, 0, 1, 3, 3, 2, 3])
    routing = Routing(domain)
    assert routing.distinct.tolist() == [0, 2, 1, 3]
    assert routing.counts.tolist() == [1, 1, 2, 5]
    assert torch.equal(routing.distinct[routing.which], domain)
    seen: list[Any] = []

    def note(rows: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        seen.append((rows.squeeze(2).tolist(), kept.squeeze(1).tolist()))
        return rows + kept.unsqueeze(1)

    rows, own = torch.arange(9.0).unsqueeze(1), 10 * routing.distinct.double().unsqueeze(1)
    out = routing.each(note, rows.double(), own)
    assert torch.equal(out.squeeze(1), torch.arange(9.0) + 10 * domain.double())
    assert seen == [
        ([[3.0], [7.0]], [0.0, 20.0]),
        ([[1.0, 4.0]], [10.0]),
        ([[0.0, 2.0, 5.0, 6.0, 8.0]], [30.0]),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_routing_of_any_batch(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    domain = (torch.rand(50, generator=draw) ** 3 * 20).long()
    routing, rows = Routing(domain), torch.randn(50, 2, generator=draw)
    assert torch.equal(routing.distinct[routing.which], domain)
    assert torch.equal(routing.counts, torch.bincount(domain)[routing.distinct])
    own = routing.distinct.float().unsqueeze(1)
    assert torch.equal(
        routing.each(lambda r, kept: r * kept.unsqueeze(1), rows, own), rows * domain.unsqueeze(1)
    )
