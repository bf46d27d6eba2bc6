"""Training samples a second of multi-domain models, ours against three others, with 3, 30 and 300 domains.

    python -m benchmarks.model_peers [--json] [--repeats 3] [--venvs build/peers] [--no-install]

torch-rechub and DeepCTR-Torch have multi-task models, which are given a task for each domain; Scenario-Wise-Rec pushes
the whole batch through every domain's layers and masks (`multi_masked.py`). All see the same rows in mixed batches of
1024, the same sizes (`multi.py`), dropout 0.5 and Adam at 0.001, on one thread. The others run in a plain loop, without
their trainers; ours through the engine, by Joint training. The first two live in virtual environments of their own
(see peers.py). Key: model_peers, for each model and number of domains the smallest of our samples per processor
second over another's; under `ratios` each of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness, multi, ours, peers
from benchmarks.harness import Case, Runs
from benchmarks.multi_masked import MODELS

STEPS = {3: 24, 30: 12, 300: 3}
"""Batches of a pass, by domains: with many of them some of the others take seconds for one."""
CASES = {
    "torch-rechub": "benchmarks.multi_rechub:prepare",
    "deepctr-torch": "benchmarks.multi_deepctr:prepare",
    "masking": "benchmarks.multi_masked:prepare",
}


def measure(
    model: str, domains: int, steps: int, batch: int, pythons: Mapping[str, str], repeats: int
) -> dict[str, float]:
    """Samples per processor second: ours and the others'."""
    with tempfile.TemporaryDirectory() as folder:
        ours.write(multi.rows(domains, steps, batch), Path(folder))
        options = {"folder": folder, "model": model, "batch": batch}
        cases = {"mamdr": Case("benchmarks.multi_ours:prepare", options)}
        cases["masking"] = Case(CASES["masking"], options)
        if model != "star":  # neither has it
            cases |= {name: Case(CASES[name], options, python) for name, python in pythons.items()}
        # The first pass of each warms its caches and is left out.
        runs = harness.interleave(cases, repeats + 1)
    return {name: _rate(run) for name, run in runs.items()}


def _rate(run: Runs) -> float:
    warm = Runs(answers=run.answers[1:])
    return warm.median("samples") / warm.median("cpu")


def compare(
    models: Sequence[str], steps: Mapping[int, int], batch: int, pythons: Mapping[str, str], repeats: int
) -> dict[str, Any]:
    rates = {
        model: {
            str(domains): measure(model, domains, count, batch, pythons, repeats)
            for domains, count in steps.items()
        }
        for model in models
    }
    ratios = {
        model: {
            domains: {name: rate["mamdr"] / rate[name] for name in rate if name != "mamdr"}
            for domains, rate in by_domains.items()
        }
        for model, by_domains in rates.items()
    }
    least = {model: {domains: min(of.values()) for domains, of in by.items()} for model, by in ratios.items()}
    return {"model_peers": least, "ratios": ratios, "samples_per_s": rates}


def rows_of(figures: dict[str, Any]) -> Sequence[Sequence[object]]:
    """The table for people: samples a second, and ours over theirs."""
    table: list[list[object]] = [["model", "domains", "mamdr", *(f"{name} (ratio)" for name in CASES)]]
    for model, by_domains in figures["samples_per_s"].items():
        for domains, rate in by_domains.items():
            ratios = figures["ratios"][model][domains]
            others = [f"{rate[name]:.4g} ({ratios[name]:.1f})" if name in rate else "" for name in CASES]
            table.append([model, domains, rate["mamdr"], *others])
    return table


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=3)
    parser.add_argument(
        "--venvs", type=Path, default=harness.ROOT / "build" / "peers", help="the environments"
    )
    parser.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    options = parser.parse_args()
    install = not (options.no_install or options.smoke)
    found = {name: peers.python_of(name, options.venvs, install) for name in peers.PEERS if name in CASES}
    pythons = {name: python for name, python in found.items() if python is not None}
    real = (list(MODELS), STEPS, multi.BATCH, pythons, options.repeats)
    figures = compare(*(list(MODELS)[::3], {3: 2}, 64, pythons, 1) if options.smoke else real)
    harness.report("model_peers", figures, rows_of(figures), options.json)


if __name__ == "__main__":
    main()
