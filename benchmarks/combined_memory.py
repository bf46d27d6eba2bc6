"""Peak memory of PCGrad with a table of a million rows x 64 and ten domains, beside training on the same mini-batches.

    python -m benchmarks.combined_memory [--json]

PCGrad and Joint walk the same points over the same rows, so what PCGrad's peak has over Joint's is what it keeps of the
domains' gradients. Its bound: D dense gradients, the blocks in which their inner products are taken in double
precision, and the rows of a mini-batch. Both ways of holding a table are measured: "lazy" (as a table of this size
is by default) and "dense". Keys, by way: over_joint_mb; over_bound (that over bound_mb: at most 1 is within it); and
over_tables (that over D tables: with a copy of the table for each domain it would be 1). Needs 4 GB.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from benchmarks import harness
from mamdr.data.domains import Dataset
from mamdr.parameters.gram import BLOCK

ROWS, WIDTH, DOMAINS, ITEMS, BATCH, STEPS = 1_000_000, 64, 10, 1_000, 1024, 4
HIDDEN = [2048, 1024]
MB = 2**20


def write(rows: int, folder: str) -> None:
    """A data set of `rows` rows whose users are all of that many, one each."""
    draw = np.random.default_rng(0)
    columns = {
        "user_id": draw.permutation(rows).astype(np.int32),
        "item_id": draw.integers(0, ITEMS, rows).astype(np.int32),
        "domain": np.sort(draw.integers(0, DOMAINS, rows)),
        "label": draw.integers(0, 2, rows),
    }
    few = {name: values[:4] for name, values in columns.items()}
    names = [f"d{number}" for number in range(DOMAINS)]
    ids = {"user_id": rows, "item_id": ITEMS}
    Dataset.from_arrays("wide", names, {"train": columns, "val": few, "test": few}, ids).save(folder)


def measure(rows: int, hidden: list[int], ways: tuple[str, ...] = ("lazy", "dense")) -> dict[str, Any]:
    """Peaks of both strategies by how tables are held, and the bound."""
    with tempfile.TemporaryDirectory() as place:
        folder = f"{place}/wide"
        write(rows, folder)
        answers = {
            (held, name): _round(folder, name, held, hidden) for held in ways for name in ("joint", "pcgrad")
        }
    dense = answers["lazy", "pcgrad"]["dense"]
    over = {way: answers[way, "pcgrad"]["peak_mb"] - answers[way, "joint"]["peak_mb"] for way in ways}
    bound = bound_mb(dense)
    table = rows * WIDTH * 4 / MB
    return {
        "over_joint_mb": over,
        "over_bound": {held: extra / bound for held, extra in over.items()},
        "over_tables": {held: extra / (DOMAINS * table) for held, extra in over.items()},
        "bound_mb": bound,
        "table_mb": table,
        "dense_gradients_mb": DOMAINS * dense * 4 / MB,
        "peak_mb": {f"{name}, {held}": a["peak_mb"] for (held, name), a in answers.items()},
    }


def bound_mb(dense: int) -> float:
    """D dense gradients, a block of them in both precisions, and a mini-batch's rows: gathered, their gradients by
    domain, these side by side, in double precision for the inner products, and summed."""
    block = min(BLOCK, DOMAINS * dense)
    rows = BATCH * 2 * WIDTH
    return (DOMAINS * dense * 4 + block * (4 + 8) + rows * 4 * (4 + 2)) / MB


def _round(folder: str, name: str, held: str, hidden: list[int]) -> dict[str, Any]:
    recipe = {
        "model": {"name": "mlp", "embedding": WIDTH, "hidden": hidden, "dropout": 0.0},
        "strategy": {"name": name, "steps": STEPS},
        "walk": {"batch_size": BATCH, "rows": held},
    }
    with harness.Worker("benchmarks.training:prepare", {"folder": folder, "recipe": recipe}) as worker:
        return worker.run()


def main() -> None:
    options = harness.parser(__doc__ or "", repeats=1).parse_args()
    figures = measure(5_000, [64, 32], ("lazy",)) if options.smoke else measure(ROWS, HIDDEN)
    table: list[list[object]] = [
        ["tables held", "joint MB", "pcgrad MB", "more", "bound of more", "D tables MB"]
    ]
    for held, extra in figures["over_joint_mb"].items():
        peaks = [figures["peak_mb"][f"{name}, {held}"] for name in ("joint", "pcgrad")]
        table.append([held, *peaks, extra, figures["bound_mb"], DOMAINS * figures["table_mb"]])
    harness.report("combined_memory", figures, table, options.json)


if __name__ == "__main__":
    main()
