"""Walks in lock-step against walks in turn: Domain Regularization on many domains of few samples.

    python -m benchmarks.batched [--json] [--repeats 3] [--domains 4096] [--samples 64]

A round with one helper of the MLP [256, 128, 64] with trained embeddings of 128, Adam, no dropout, by either engine; on
a GPU when torch finds one, else on one core of the CPU, which the figure `device` tells. Keys: speedup (seconds in turn
over seconds in lock-step, by the wall), us_a_step of each, and difference (largest one of a specific part, relative).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness, ours, shapes
from benchmarks.harness import Case
from mamdr.engine.choose import Engine
from mamdr.strategies import DomainRegularization

_WARM = 16
"""Domains walked before anything is timed."""


def device_of() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def prepare(folder: str, engine: Engine) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: rounds of Domain Regularization with one helper; tells steps, and a domain's values."""
    device = device_of()
    at_work = ours.Ours(folder, DomainRegularization(num_helpers=1), 0.0, engine=engine, device=device)
    steps = sum(-(-size // ours.BATCH) for size in at_work.problem.sizes)
    # A GPU loads each kernel when it is first asked for.
    at_work.strategy.round_of(at_work.state, at_work.problem, at_work.run, at_work.problem.trainable[:_WARM])

    def run() -> dict[str, Any]:
        figures = at_work.round()
        if device != "cpu":
            torch.cuda.synchronize()
        some = at_work.state.specific[0].dense[::997].tolist()
        return {**figures, "steps": 2 * steps, "some": some}

    return run


def compare(domains: int, samples: int, repeats: int) -> dict[str, Any]:
    """Both engines on the same table, in turns."""
    with tempfile.TemporaryDirectory() as folder:
        ours.write(shapes.many(domains, samples), Path(folder))
        engines: tuple[Engine, Engine] = ("sequential", "batched")
        cases = {e: Case("benchmarks.batched:prepare", {"folder": folder, "engine": e}) for e in engines}
        runs = harness.interleave(cases, repeats)
    steps = runs["batched"].answers[0]["steps"]
    step = {engine: run.median("wall") / steps * 1e6 for engine, run in runs.items()}
    one, other = (torch.tensor(run.answers[0]["some"]) for run in runs.values())
    return {
        "speedup": step["sequential"] / step["batched"],
        "device": torch.cuda.get_device_name() if device_of() == "cuda" else "cpu",
        "domains": domains,
        "samples": samples,
        "us_a_step": step,
        "difference": float((one - other).abs().max() / one.abs().max()),
        "peak_mb": {engine: run.peak_mb for engine, run in runs.items()},
    }


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=3)
    parser.add_argument("--domains", type=int, default=4096)
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    domains, samples = (24, 8) if options.smoke else (options.domains, options.samples)
    figures = compare(domains, samples, 1 if options.smoke else options.repeats)
    table: list[list[object]] = [["", "us a step", "peak MB"]]
    table += [
        [engine, figures["us_a_step"][engine], figures["peak_mb"][engine]] for engine in figures["us_a_step"]
    ]
    harness.report("batched", figures, table, options.json)


if __name__ == "__main__":
    main()
