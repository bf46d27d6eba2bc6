"""Seconds of one round of every strategy at 1,000 domains of the synthetic market, and their ratio to Alternate's.

    python -m benchmarks.frameworks [--json] [--only pcgrad,mamdr]

Each strategy with its defaults in a process of its own, one after another, Alternate before and after all others. A
round is each one's first, with everything prepared. Keys: domains, rows, and by strategy seconds (by the processor),
ratio (to Alternate's mean), rows_trained and peak_mb.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness
from mamdr.data.market import synthetic_market
from mamdr.strategies import STRATEGIES

MARKET = {"domains": 1_000, "users": 20_000, "items": 5_000, "samples_per_domain": 80, "overlap": 0.01}
SMOKE = {"domains": 7, "users": 100, "items": 50, "samples_per_domain": 20}
LEFT_OUT = ("torchjd",)
"""TorchJD's own solver takes minutes a mini-batch of 600 domains; ask for it by name."""
MODEL = {"name": "mlp", "embedding": 16, "hidden": [64, 32], "dropout": 0.0}


def measure(market: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """One round of each strategy of these names, in this order; Alternate, which is one of them, as often as it is."""
    with tempfile.TemporaryDirectory() as place:
        folder = str(Path(place) / "market")
        data = synthetic_market(**market)
        data.save(folder)
        answers = [(name, _round(folder, name)) for name in names]
    base = statistics.mean(answer["cpu"] for name, answer in answers if name == "alternate")
    each = dict(answers)
    return {
        "domains": market["domains"],
        "rows": len(data.train),
        "seconds": {name: base if name == "alternate" else each[name]["cpu"] for name in each},
        "ratio": {name: 1.0 if name == "alternate" else each[name]["cpu"] / base for name in each},
        "rows_trained": {name: each[name]["samples"] for name in each},
        "peak_mb": {name: each[name]["peak_mb"] for name in each},
    }


def _round(folder: str, name: str) -> dict[str, Any]:
    recipe = {"model": MODEL, "strategy": {"name": name}}
    with harness.Worker("benchmarks.training:prepare", {"folder": folder, "recipe": recipe}) as worker:
        return worker.run()


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=1)
    everything = ",".join(name for name in STRATEGIES if name not in LEFT_OUT)
    parser.add_argument("--only", default=everything, help="strategies, with commas between")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name != "alternate"]
    figures = (
        measure(SMOKE, ["alternate", *names])
        if options.smoke
        else measure(MARKET, ["alternate", *names, "alternate"])
    )
    table: list[list[object]] = [["strategy", "seconds a round", "over alternate", "rows trained", "peak MB"]]
    for name in sorted(figures["seconds"], key=figures["seconds"].__getitem__):
        kinds = ("seconds", "ratio", "rows_trained", "peak_mb")
        table.append([name, *(figures[kind][name] for kind in kinds)])
    harness.report("frameworks", figures, table, options.json)


if __name__ == "__main__":
    main()
