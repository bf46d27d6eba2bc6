"""What tests of several models use: small settings, numbers worth comparing, weights as plain lists."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Schema
from mamdr.models.routing import DomainRows
from mamdr.testing import lively as lively
from mamdr.testing import tiny_market

DATA = tiny_market(numeric=True)
SCHEMA = DATA.schema
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"embedding": 4, "hidden": [6, 4], "dropout": 0.1},
    "wdl": {"embedding": 4, "hidden": [6, 4], "dropout": 0.1},
    "neurfm": {"embedding": 4, "hidden": [6, 4], "dropout": 0.1},
    "autoint": {"embedding": 4, "layers": 2, "heads": 2, "head": 3, "hidden": [6, 4], "dropout": 0.1},
    "deepfm": {"embedding": 4, "hidden": [6, 4], "dropout": 0.1},
    "shared_bottom": {"embedding": 4, "hidden": [6, 5], "towers": [4], "dropout": 0.1},
    "mmoe": {"embedding": 4, "experts": [6, 5], "count": 3, "gates": [3], "towers": [4], "dropout": 0.1},
    "cgc": {"embedding": 4, "experts": [6, 5], "specific": 3, "gates": [3], "towers": [4], "dropout": 0.1},
    "ple": {
        "embedding": 4,
        "levels": 3,
        "experts": [5],
        "specific": 3,
        "gates": [3],
        "towers": [4],
        "dropout": 0.1,
    },
    "sar_net": {"embedding": 4, "experts": [6, 5], "shared": 3, "specific": 2, "dropout": 0.1},
    "hinet": {
        "embedding": 4,
        "experts": [6, 5],
        "sub": 2,
        "scenarios": 3,
        "task": [5],
        "tasks": 3,
        "tower": [4],
        "dropout": 0.1,
    },
    "mlora": {"base": {"name": "mlp", "embedding": 4, "hidden": [6, 4], "dropout": 0.1}, "rank": 2},
    "pepnet": {"embedding": 4, "hidden": [8, 7], "gate": 5, "dropout": 0.1},
    "m2m": {
        "embedding": 4,
        "experts": [6, 5],
        "count": 3,
        "knowledge": 3,
        "unit": 2,
        "tower": 2,
        "dropout": 0.1,
    },
    "adasparse": {"embedding": 4, "hidden": [6, 5], "alpha": [1, 3], "dropout": 0.1},
    "star": {"embedding": 4, "hidden": [6, 5], "auxiliary": [4], "dropout": 0.1},
}


def larger(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with room to learn something: layers four times as wide, embeddings twice."""
    made: dict[str, Any] = {}
    for key, value in settings.items():
        made[key] = [4 * size for size in value] if isinstance(value, list) else value
        if isinstance(value, dict):
            made[key] = larger(value)
        elif key == "embedding":
            made[key] = 2 * value
    return made


def mixed_batch(size: int = 24, schema: Schema = SCHEMA, seed: int = 0) -> Batch:
    """Rows of all domains, in no order."""
    draw = torch.Generator().manual_seed(seed)
    columns = {**schema.ids, "domain": len(schema.domains)}
    batch = {name: torch.randint(0, count, (size,), generator=draw) for name, count in columns.items()}
    for name, longest in schema.lists.items():
        ids = torch.randint(0, schema.ids[name], (size, longest), generator=draw)
        lengths = torch.randint(0, longest + 1, (size, 1), generator=draw)
        batch[name] = ids.masked_fill(torch.arange(longest) >= lengths, 0)
    return batch | {name: torch.randn(size, generator=draw, dtype=torch.float64) for name in schema.numeric}


def one_domain(batch: Batch, domain: int) -> Batch:
    """The same rows, all of one domain, its column one value expanded as in training."""
    rows = len(batch["domain"])
    return batch | {"domain": torch.tensor([domain]).expand(rows)}


def listed(tensor: Tensor) -> Any:
    """Nested lists of floats."""
    return tensor.detach().tolist()


def layer_of(linear: nn.Linear) -> tuple[Any, Any]:
    return listed(linear.weight), listed(linear.bias)


def layers_of(module: nn.Module) -> list[tuple[Any, Any]]:
    """Every fully connected layer, in order."""
    return [layer_of(part) for part in module.modules() if isinstance(part, nn.Linear)]


def tables_of(module: nn.Module) -> list[Any]:
    """Every table of what domains keep, in order."""
    return [part for part in module.modules() if isinstance(part, DomainRows)]


def without_dropout(settings: dict[str, Any]) -> dict[str, Any]:
    """The same model, and its base, without dropout."""
    if "base" in settings:
        return settings | {"base": without_dropout(settings["base"])}
    return settings | {"dropout": 0.0}


Layer = tuple[list[list[float]], list[float]]


def split_layers(row: list[float], size: int, width: int, count: int = 1) -> list[Layer]:
    """`count` layers written one after another: kernels by rows, then biases."""
    numbers = iter(row)
    kernels = [[[next(numbers) for _ in range(width)] for _ in range(size)] for _ in range(count)]
    biases = [[next(numbers) for _ in range(size)] for _ in range(count)]
    assert next(numbers, None) is None
    return list(zip(kernels, biases, strict=True))


def network_of(part: Any, domain: int) -> list[Layer]:
    """The layers of a domain in a `DomainLayers`."""
    rows = [listed(table.weight[domain]) for table in part.tables]
    return [split_layers(row, *shape)[0] for row, shape in zip(rows, part.shapes, strict=True)]


def experts_of(part: Any, domain: int | None = None) -> list[list[Layer]]:
    """For each expert its layers: of a domain, or the shared ones."""
    if domain is None:
        levels = [
            list(zip(listed(weight), listed(bias), strict=True))
            for weight, bias in zip(part.weights, part.biases, strict=True)
        ]
    else:
        rows = [listed(table.weight[domain]) for table in part.tables]
        levels = [split_layers(row, *shape) for row, shape in zip(rows, part.shapes, strict=True)]
    return [list(layers) for layers in zip(*levels, strict=True)]


def input_of(inputs: Any, batch: Batch, row: int) -> list[float]:
    """What an `Inputs` makes of a row: embeddings, numbers, the domain's embedding where it has one."""
    tables = list(inputs.tables)
    flat: list[float] = []
    for name, table in zip(SCHEMA.ids, tables, strict=False):
        flat += listed(table.weight[int(batch[name][row])])
    flat += [batch[name][row].item() for name in inputs.numeric]
    return flat + (listed(tables[-1].weight[int(batch["domain"][row])]) if inputs.by_domain else [])
