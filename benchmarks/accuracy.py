"""DN and MAMDR against Alternate on real data: every seed, mean and interval, as a table for docs/results.md.

    mamdr data import interactions_6of13.parquet --user user --item item --domain category --out build/amazon-6of13
    python -m benchmarks.accuracy --data build/amazon-6of13 --out build/accuracy --seeds 3 --jobs 2

Each cell is a run of its own, `OUT/METHOD-SEED`, trained by `mamdr train`; a cell that is finished is not trained
again, one that was stopped goes on. Validation chooses each round, and test is read once, here, at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mamdr.training import Run

ROOT = Path(__file__).resolve().parent.parent
COMMON = ("model.embedding=64",)
METHODS: dict[str, tuple[str, ...]] = {
    "alternate": (),
    "dn": ("strategy.outer_lr=0.3",),
    "mamdr": (
        "strategy.outer_lr=0.3",
        "strategy.num_helpers=2",
        "strategy.helper_steps=200",
        "strategy.own_steps=200",
        "strategy.specific_lr=0.03",
    ),
}
"""For each method, what differs from recipes/mlp-METHOD.toml."""

_T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t at 97.5 % by degrees of freedom."""


@dataclass(frozen=True)
class Cell:
    """One method with one seed."""

    method: str
    seed: int
    val: float
    test: float
    best_round: int
    rounds: int
    minutes: float
    domains: dict[str, float | None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells trained at once")
    parser.add_argument("--set", action="append", default=[], dest="values", help="override for every method")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    pairs = [(method, seed) for seed in range(1, options.seeds + 1) for method in METHODS]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda pair: _train(options, *pair), pairs))
    cells = [
        _measure(options.out, method, seed) for method in METHODS for seed in range(1, options.seeds + 1)
    ]
    print(json.dumps([vars(cell) for cell in cells]) if options.json else _table(cells))


def _train(options: argparse.Namespace, method: str, seed: int) -> None:
    folder = options.out / f"{method}-{seed}"
    if folder.exists() and json.loads((folder / "run.json").read_text())["status"] == "finished":
        return
    values = [*COMMON, *METHODS[method], *options.values, f"train.seed={seed}"]
    sets = [word for value in values for word in ("--set", value)]
    recipe = ROOT / "recipes" / f"mlp-{method}.toml"
    resume = ["--resume"] if folder.exists() else []
    entry = "from mamdr.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        entry,
        "train",
        str(recipe),
        "--data",
        str(options.data),
        "--out",
        str(folder),
    ]
    subprocess.run([*command, *sets, *resume], check=True)


def _measure(out: Path, method: str, seed: int) -> Cell:
    run = Run.open(out / f"{method}-{seed}")
    metrics = run.evaluate("test")
    rounds = [event for event in run.events if event["event"] == "round"]
    minutes = sum(event["seconds"] for event in rounds) / 60
    assert metrics.mean_auc is not None
    best: int = run.info["best_round"]
    return Cell(
        method, seed, run.info["best_value"], metrics.mean_auc, best, len(rounds), minutes, metrics.aucs
    )


def _table(cells: list[Cell]) -> str:
    """Markdown: every seed, then mean, interval and lift, then domains."""
    lines = [
        "| method | seed | val mean AUC | test mean AUC | best round | rounds | minutes |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {c.method} | {c.seed} | {c.val:.4f} | {c.test:.4f} | {c.best_round} | {c.rounds} | {c.minutes:.1f} |"
            for c in cells
        ),
        "",
        "| method | test mean AUC, mean of seeds ± 95 % interval | lift over Alternate | least lift of a seed |",
        "|---|---|---|---|",
    ]
    base = {c.seed: c.test for c in cells if c.method == "alternate"}
    for method in METHODS:
        tests = {c.seed: c.test for c in cells if c.method == method}
        lifts = [tests[seed] - base[seed] for seed in tests]
        lift = "" if method == "alternate" else f"{_mean(lifts)} | {min(lifts):+.4f}"
        lines.append(f"| {method} | {_mean(list(tests.values()))} | {lift or ' | '} |")
    lines += [
        "",
        "| test AUC by domain (mean of seeds) | " + " | ".join(METHODS) + " |",
        "|---|" + "---|" * len(METHODS),
    ]
    for domain in cells[0].domains:
        means = [_average([c.domains[domain] for c in cells if c.method == method]) for method in METHODS]
        lines.append(f"| {domain} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    """Mean and the half-width of Student's 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.4f}"
    half = _T95.get(len(values) - 1, 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.4f} ± {half:.4f}"


def _average(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):.4f}" if known else "n/a"


if __name__ == "__main__":
    main()
