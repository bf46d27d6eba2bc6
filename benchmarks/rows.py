"""Milliseconds a step for tables of 15 thousand to 10 million rows x 128: what a step costs must not depend on them.

    python -m benchmarks.rows [--json] [--repeats 5]

Each step is one of a Domain Regularization walk of 8 + 8 batches of 1024 whose data touch the same number of rows
whatever the table's size; set-up and push are shared out over the steps. Key: end_to_end_ratio (the largest table's
milliseconds over the smallest's). Beside it plain dense training with torch.optim.Adam, up to 1.25 million rows.
The largest table needs 5 GB.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness, ours, shapes
from benchmarks.harness import Case

SIZES = (15_000, 125_000, 1_250_000, 10_000_000)
SMOKE_SIZES = (2_000, 20_000)
NAIVE_UP_TO = 1_250_000
NAIVE_STEPS = 3


def measure(sizes: tuple[int, ...], repeats: int, rows: int) -> dict[str, Any]:
    """Milliseconds a step by table size, and the ratio from end to end."""
    with tempfile.TemporaryDirectory() as folder:
        cases = {}
        for size in sizes:
            where = Path(folder) / str(size)
            ours.write(shapes.spread(size, rows=rows), where)
            cases[f"ours {size}"] = Case("benchmarks.ours:prepare_steps", {"folder": str(where)}, settle=1)
        for size in sizes:
            if size <= NAIVE_UP_TO:
                options = {"folder": str(Path(folder) / str(size)), "steps": NAIVE_STEPS}
                cases[f"naive {size}"] = Case(
                    "benchmarks.naive:prepare_steps", options, repeats=min(2, repeats)
                )
        runs = harness.interleave(cases, repeats)
    each = {name: run.median("cpu") / run.answers[0]["steps"] * 1e3 for name, run in runs.items()}
    return {
        "end_to_end_ratio": each[f"ours {sizes[-1]}"] / each[f"ours {sizes[0]}"],
        "ms_per_step": {str(size): each[f"ours {size}"] for size in sizes},
        "naive_ms_per_step": {str(size): each[f"naive {size}"] for size in sizes if f"naive {size}" in each},
    }


def main() -> None:
    options = harness.parser(__doc__ or "", repeats=5).parse_args()
    real = (SIZES, options.repeats, 8 * 1024)
    figures = measure(*(SMOKE_SIZES, 1, 2_000) if options.smoke else real)
    table: list[list[object]] = [["table rows", "mamdr ms a step", "naive ms a step"]]
    for size, spent in figures["ms_per_step"].items():
        table.append([f"{int(size):,}", spent, figures["naive_ms_per_step"].get(size, "")])
    harness.report("rows", figures, table, options.json)


if __name__ == "__main__":
    main()
