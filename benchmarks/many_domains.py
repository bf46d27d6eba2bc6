"""What training costs by the number of domains: it should go by samples and steps, and by nothing else.

    python -m benchmarks.many_domains [--json] [--repeats 3]

Walks of Domain Regularization (a helper, then the domain) on one core: the MLP [256, 128, 64], trained embeddings of
128, Adam, no dropout, on 10 to 10,000 domains of 1,000 samples each, and of 10 samples each. A run makes 100 walks
(1,000 of the small domains), of domains and helpers drawn from all, whatever their number: walks do not depend on
each other, so a round of 10,000 domains is a hundred such runs. Keys: seconds_ratio (seconds per million sample
passes at 1,000 samples, the dearest number of domains over the cheapest; promised <= 1.3), step_ratio (ms a step at
10 samples, 10,000 domains over 10; promised not to grow), and the seconds behind them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness, ours, shapes
from benchmarks.harness import Case
from mamdr.parameters import Overlay
from mamdr.strategies import DomainRegularization, Leg, Walk

COUNTS = (10, 100, 1_000, 10_000)
SAMPLES = (1_000, 10)
RATE = 0.1
WALKED = {1_000: 100, 10: 1_000}
"""By samples of a domain, how many walks a run makes."""


def prepare(folder: str, samples: int) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: walks of domains drawn from all; tells rows and steps."""
    at_work = ours.Ours(folder, DomainRegularization(), 0.0)
    domains, draw = len(at_work.problem.sizes), np.random.default_rng(0)
    state = at_work.state

    def run() -> dict[str, Any]:
        passed = steps = 0
        for seed in range(WALKED[samples]):
            domain, helper = draw.choice(domains, size=2, replace=False).tolist()
            store = Overlay(state.shared, state.specific, domain)
            for outcome in at_work.run([Walk(store, (Leg((helper,)), Leg((domain,))), seed)]):
                store.push(outcome.displacement, RATE)
                passed, steps = passed + outcome.samples, steps + outcome.steps
        state.specific.clear()
        return {"samples": passed, "steps": steps}

    return run


def compare(counts: tuple[int, ...], samples: int, repeats: int) -> dict[int, dict[str, float]]:
    """For each number of domains, processor seconds per million sample passes and ms a step."""
    with tempfile.TemporaryDirectory() as folder:
        cases = {}
        for count in counts:
            ours.write(shapes.many(count, samples), Path(folder) / str(count))
            options = {"folder": str(Path(folder) / str(count)), "samples": samples}
            cases[str(count)] = Case("benchmarks.many_domains:prepare", options, settle=1)
        runs = harness.interleave(cases, repeats)
    told = {}
    for count, run in runs.items():
        seconds = run.median("cpu")
        told[int(count)] = {
            "seconds_per_million": seconds / run.median("samples") * 1e6,
            "ms_a_step": seconds / run.median("steps") * 1e3,
        }
    return told


def main() -> None:
    options = harness.parser(__doc__ or "", repeats=3).parse_args()
    counts, repeats = ((3, 6), 1) if options.smoke else (COUNTS, options.repeats)
    large, small = (compare(counts, samples, repeats) for samples in SAMPLES)
    seconds = {count: figures["seconds_per_million"] for count, figures in large.items()}
    steps = {count: figures["ms_a_step"] for count, figures in small.items()}
    figures = {
        "seconds_ratio": max(seconds.values()) / min(seconds.values()),
        "step_ratio": steps[counts[-1]] / steps[counts[0]],
        "seconds_per_million": seconds,
        "ms_a_step": steps,
    }
    table: list[list[object]] = [["domains", "s a million passes (1,000 samples)", "ms a step (10 samples)"]]
    table += [[count, seconds[count], steps[count]] for count in counts]
    harness.report("many_domains", figures, table, options.json)


if __name__ == "__main__":
    main()
