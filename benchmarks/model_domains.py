"""A forward of batch 1024 on a model of 10,000 domains over one on a model of 10: cost grows with rows, not domains.

    python -m benchmarks.model_domains [--json] [--repeats 7]

How a batch's rows are spread over domains decides what it costs, so three draws are timed, each on both models:

    one      every row of one domain, as in training and in evaluation
    ten      rows of ten domains: the model's ten, or ten of its 10,000
    uniform  each row's domain drawn from all: the model's ten, or about 970 of its 10,000

Key: model_domains, an object from model to the larger ratio of `one` and `ten`, at the recipes' sizes. A uniform batch
meets 97 times as many domains, and what each keeps must be read from memory, mostly for a single row: `reading` is the
ratio that this alone would give (the forward on ten domains, and copying those rows out of the tables piece by piece).
PLE's experts are of 64 and 2 a domain, since 10,000 domains at the recipe's sizes need 68 GB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks import harness
from benchmarks.harness import Case
from mamdr.data.domains import Schema
from mamdr.models import MODELS, build
from mamdr.models.routing import DomainRows

BATCH, FEW, MANY = 1024, 10, 10_000
USERS, ITEMS = 20_000, 10_000
PASSES = 12
_PIECE = 3 << 17
DRAWS = ("one", "ten", "uniform")
SIZES: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "recipe": {
        "shared_bottom": {},
        "mmoe": {},
        "ple": {"experts": [64], "specific": 2},
        "star": {},
        "pepnet": {},
    },
    "small": {
        "shared_bottom": {"embedding": 16, "hidden": [128, 64], "towers": [32]},
        "mmoe": {"embedding": 16, "experts": [128, 64], "gates": [16], "towers": [32]},
        "ple": {"embedding": 16, "experts": [32], "specific": 2, "gates": [16], "towers": [16]},
        "star": {"embedding": 16, "hidden": [64, 32], "auxiliary": [16]},
        "pepnet": {"embedding": 16, "hidden": [64, 32], "gate": 16},
    },
}


def batch_of(domains: int, draw: str, rows: int) -> dict[str, Tensor]:
    """A batch whose rows are spread over domains as the draw says."""
    random = torch.Generator().manual_seed(1)
    sizes = {"user_id": USERS, "item_id": ITEMS}
    batch = {name: torch.randint(0, size, (rows,), generator=random) for name, size in sizes.items()}
    if draw == "one":
        return batch | {"domain": torch.tensor([domains - 1]).expand(rows)}
    met = torch.randperm(domains, generator=random)[: FEW if draw == "ten" else domains]
    return batch | {"domain": met[torch.randint(0, len(met), (rows,), generator=random)]}


def prepare(
    name: str, settings: dict[str, Any], domains: int, draw: str, rows: int
) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: milliseconds of a forward, and of reading what the batch's domains keep.

    Each draw has a process of its own: large blocks that one frees and the system takes back would cost another.
    """
    torch.set_num_threads(1)
    schema = Schema(tuple(f"d{d}" for d in range(domains)), {"user_id": USERS, "item_id": ITEMS})
    module, batch = build(name, schema, settings).eval(), batch_of(domains, draw, rows)
    tables = [part.weight.detach() for part in module.modules() if isinstance(part, DomainRows)]
    met = batch["domain"].unique()

    def read() -> None:
        for table in tables:
            for picked in met.split(max(1, _PIECE // table.shape[1])):
                table.index_select(0, picked)

    def run() -> dict[str, Any]:
        with torch.no_grad():
            spent = 1e3 * _seconds(lambda: module(batch))
        kept = sum(table.shape[1] for table in tables)
        return {"ms": spent, "reading": 1e3 * _seconds(read), "met": len(met), "kept": kept}

    return run


def _seconds(call: Callable[[], object]) -> float:
    """The fastest pass in processor seconds: what disturbs one (other work, caches) only makes it slower."""
    least = float("inf")
    for _ in range(PASSES):
        begun = time.process_time()
        call()
        least = min(least, time.process_time() - begun)
    return least


def measure(sizes: str, many: int, repeats: int, rows: int) -> dict[str, dict[str, float]]:
    """By model: milliseconds, ratios, and what reading makes of the uniform one."""
    found: dict[str, dict[str, float]] = {}
    for name in (name for name in SIZES[sizes] if name in MODELS):
        figures = found[name] = {}
        for draw in DRAWS:
            options = {"name": name, "settings": SIZES[sizes][name], "draw": draw, "rows": rows}
            function = "benchmarks.model_domains:prepare"
            cases = {str(count): Case(function, options | {"domains": count}) for count in (FEW, many)}
            few, most = harness.interleave(cases, repeats).values()
            figures |= {f"ms {draw}": few.median("ms"), f"ratio {draw}": most.median("ms") / few.median("ms")}
        figures["reading"] = 1 + most.median("reading") / few.median("ms")
        figures |= {"met": most.median("met"), "kept": most.median("kept")}
    return found


def table_of(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Sequence[Sequence[object]]:
    """The table for people."""
    heads = ["values a domain", "ms, ten of 10", *(f"ratio {draw}" for draw in DRAWS), "... by reading"]
    keys = ["kept", "ms ten", *(f"ratio {draw}" for draw in DRAWS), "reading"]
    table: list[list[object]] = [["sizes", "model", *heads]]
    for sizes, models in found.items():
        table += [[sizes, name, *(figures[key] for key in keys)] for name, figures in models.items()]
    return table


def main() -> None:
    options = harness.parser(__doc__ or "", repeats=7).parse_args()
    which = ("small",) if options.smoke else tuple(SIZES)
    real = (MANY, options.repeats, BATCH)
    found = {sizes: measure(sizes, *(30, 1, 64) if options.smoke else real) for sizes in which}
    first = found[which[0]]
    ratios = {name: max(of["ratio one"], of["ratio ten"]) for name, of in first.items()}
    uniform = {name: of["ratio uniform"] for name, of in first.items()}
    harness.report(
        "model_domains",
        {"model_domains": ratios, "uniform": uniform, "sizes": found},
        table_of(found),
        options.json,
    )


if __name__ == "__main__":
    main()
