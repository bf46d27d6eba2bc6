"""How much domains' gradients conflict under each method, at the same training loss: the table of docs/strategies.md.

    python -m benchmarks.conflict --seeds 5

Rounds of different methods are not of the same length, and cosines fall while the loss does, so cosines are
interpolated at fixed losses. The market has eight domains, equal click rates and the conflict dial at 0.7.
"""

from __future__ import annotations

import argparse
import itertools
import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import mamdr
from mamdr.data.domains import Dataset
from mamdr.engine import Predictor, Session, WalkOptions, inner
from mamdr.engine.gradients import Gradients
from mamdr.evaluation.conflict import conflict
from mamdr.parameters import LocalStore
from mamdr.strategies import Alternate, DomainNegotiation, Joint, Reptile, State, Strategy
from mamdr.testing.lab import at_work, problem_of

LOSSES = (0.67, 0.65, 0.63)
METHODS: dict[str, tuple[Strategy, float, int]] = {
    "reptile": (Reptile(), 0.005, 18),
    "joint": (Joint(), 0.001, 12),
    "alternate": (Alternate(inner_state="fresh"), 0.001, 12),
    "dn": (DomainNegotiation(outer_lr=0.1), 0.003, 40),
}
"""The strategy, Adam's rate, and rounds enough to come below the lowest loss."""

_DIALS: dict[str, Any] = {
    "domains": 8,
    "users": 200,
    "items": 60,
    "conflict": 0.7,
    "tastes": 3,
    "ctr_ratio": (1, 1),
    "tail": 0.0,
    "overlap": 1.0,
}


def course(data: Dataset, name: str, seed: int, most: int) -> NDArray[np.float64]:
    """[rounds + 1, 3]: training loss, mean cosine and share of pairs in conflict at θ_S after each round."""
    strategy, lr, rounds = METHODS[name]
    settings: dict[str, Any] = {"embedding": 8, "hidden": (16,), "dropout": 0.0, "domain_embedding": False}
    module = mamdr.models.build("mlp", data.schema, settings, seed=seed)
    found = []
    with at_work(module, data, WalkOptions(batch_size=64, inner=inner.Adam(lr=lr))) as (session, run):
        state = State(LocalStore.of(module, session.space), seed=seed)
        for _ in range(min(rounds, most) + 1):
            seen = conflict(Gradients(session, state.buffers), state.shared)
            found.append([_loss(session, state), seen.mean_cosine, seen.share])
            state = strategy.round(state, problem_of(session), run)
            state.round += 1
    return np.array(found, np.float64)


def _loss(session: Session, state: State) -> float:
    """Mean over domains of the mean training loss, dropout off."""
    data, total = session.data.train, 0.0
    predictor, bounds = Predictor(session, data, state.buffers), data.offsets.tolist()
    for domain, (start, stop) in enumerate(itertools.pairwise(bounds)):
        scores = predictor(state.shared, domain).double().clamp(1e-7, 1 - 1e-7)
        total += float(torch.nn.functional.binary_cross_entropy(scores, data.labels[start:stop].double()))
    return total / (len(bounds) - 1)


def at_losses(found: NDArray[np.float64]) -> list[list[float]]:
    """Cosine and share at each of the losses, on the way down; NaN for a loss that was not reached."""
    down = found[: int(found[:, 0].argmin()) + 1]
    return [
        [
            float(np.interp(-loss, -down[:, 0], down[:, column])) if down[-1, 0] <= loss else np.nan
            for loss in LOSSES
        ]
        for column in (1, 2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="one seed, two rounds: to see that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, most, rows = (1, 2, 60) if options.smoke else (options.seeds, 1 << 30, 800)
    figures: dict[str, Any] = {"benchmark": "conflict", "losses": LOSSES, "cosine": {}, "share": {}}
    for name in METHODS:
        found = []
        for seed in range(1, seeds + 1):
            data = mamdr.synthetic_market(**_DIALS, samples_per_domain=rows, seed=seed)
            found.append(at_losses(course(data, name, seed, most)))
        for place, key in enumerate(("cosine", "share")):
            figures[key][name] = [
                [None if np.isnan(v) else v for v in by_seed]
                for by_seed in np.array(found)[:, place].tolist()
            ]
    print(json.dumps(figures) if options.json else _table(figures))


def _table(figures: dict[str, Any]) -> str:
    lines = ["| training loss | " + " | ".join(METHODS) + " |", "|---|" + "---|" * len(METHODS)]
    for place, loss in enumerate(LOSSES):
        cells = []
        for name in METHODS:
            cosines, shares = (
                np.array(figures[key][name], np.float64)[:, place] for key in ("cosine", "share")
            )
            cells.append(f"{cosines.mean():.2f} ± {cosines.std(ddof=1):.2f} ({100 * shares.mean():.0f} %)")
        lines.append(f"| {loss} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
