"""Test AUC against the number of units, and against the mean and the sum of what they bring.

    python -m benchmarks.ray_units --data data/amazon-six [--seeds 3] [--rounds 6] [--units 1 2 4 8] [--json]

MAMDR over a small multi-layer perceptron (embeddings of 32), each unit's walk made in turn in this process: what is
trained does not depend on processes. Rows: the mean over domains of test AUC at the round that validation prefers, its
mean and standard deviation over seeds.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness
from mamdr.data.domains import Dataset
from mamdr.engine import Sequential, Session, Walker, WalkOptions
from mamdr.engine.inner import Adam
from mamdr.engine.units import Combine, Units
from mamdr.models import build
from mamdr.strategies import MAMDR, Run, State
from mamdr.testing import tiny_market
from mamdr.training import TrainOptions
from mamdr.training.trainer import Trainer


class InUnits(Trainer):
    """A trainer whose shared walks are made by units."""

    units: int
    combine: Combine

    def _walks(self, session: Session, state: State) -> Run:
        walker = Walker(session)
        return Units(walker, Sequential(walker), self.units, self.combine)


def trained(data: Dataset, units: int, combine: Combine, seed: int, rounds: int) -> dict[str, float]:
    """Figures of one training on test rows."""
    settings = {"embedding": 32, "hidden": [64, 32], "dropout": 0.2}
    trainer = InUnits(
        build("mlp", data.schema, settings, seed=seed),
        data,
        MAMDR(outer_lr=0.5, num_helpers=1),
        TrainOptions(rounds=rounds, patience=0, seed=seed),
        WalkOptions(batch_size=1024, inner=Adam(lr=0.001), embedding_l2=1e-5),
    )
    trainer.units, trainer.combine = units, combine
    run = trainer.fit()
    figures = run.evaluate("test")
    assert figures.mean_auc is not None
    assert figures.weighted_auc is not None
    return {"mean_auc": figures.mean_auc, "weighted_auc": figures.weighted_auc, "round": run.state.round}


def measure(data: Dataset, units: list[int], seeds: int, rounds: int) -> dict[str, Any]:
    """Figures by "units combine"."""
    cases = [(u, c) for u in units for c in ("mean", "sum") if u > 1 or c == "mean"]
    made: dict[str, Any] = {}
    for count, combine in cases:
        each = [trained(data, count, combine, seed, rounds) for seed in range(1, seeds + 1)]
        aucs = [one["mean_auc"] for one in each]
        made[f"{count} {combine}"] = {
            "mean_auc": statistics.mean(aucs),
            "deviation": statistics.stdev(aucs) if seeds > 1 else 0.0,
            "weighted_auc": statistics.mean(one["weighted_auc"] for one in each),
            "rounds": [one["round"] for one in each],
        }
    return {"auc": made, "seeds": seeds, "rounds": rounds}


def main() -> None:
    torch.set_num_threads(1)
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--data", type=Path, help="a data folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--units", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    if options.smoke or options.data is None:
        figures = measure(tiny_market(), [1, 2], 1, 1)
    else:
        figures = measure(Dataset.load(options.data), options.units, options.seeds, options.rounds)
    table: list[list[object]] = [["units, combine", "mean AUC", "+-", "weighted AUC", "best rounds"]]
    for name, one in figures["auc"].items():
        table.append([name, one["mean_auc"], one["deviation"], one["weighted_auc"], str(one["rounds"])])
    harness.report("ray_units", figures, table, options.json)


if __name__ == "__main__":
    main()
