"""As many domains as the paper's Taobao-online has, with few rows each: built, trained on, measured, resumed.

    python -m benchmarks.taobao_online [--json] [--domains 69102] [--samples 70] [--jobs 2] [--device cuda]

Every stage runs in a process of its own, one after another: `build` (the market to a data folder), `train` (a round of
MAMDR with its validation and checkpoint; specific parts of 256 MB in memory, the rest on disk), `evaluate` (the test
split), `resume` (the checkpoint is loaded and training goes on, with no round left to do; the state must score as it
did) and `report` (the HTML page). Keys, by stage: seconds (by the wall), cpu and peak_mb, an upper bound (the process
and each worker at its largest, shared pages counted each time); and domains, rows, ms_a_walk, ms_a_domain (of
evaluation), checkpoint_mb, page_mb, minutes, peak_mb, same (whether the resumed state scored to the bit as before).
On a GPU (`--device cuda`) all parts are in its memory and walks go in lock-step.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness
from mamdr.data.domains import Dataset
from mamdr.data.market import write_market
from mamdr.evaluation.report import report_runs
from mamdr.training import Recipe, Run
from mamdr.training.events import read_events
from mamdr.training.train import train

DOMAINS, SAMPLES = 69_102, 70
STAGES = ("build", "train", "evaluate", "resume", "report")
RECIPE: dict[str, Any] = {
    "model": {"name": "mlp", "embedding": 16, "hidden": [32, 16], "dropout": 0.0},
    "specific": {"memory": "256MB"},
    "walk": {"batch_size": 1024, "rows": "lazy"},
}


def stage(
    name: str, place: str, domains: int, samples: int, jobs: int, device: str
) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: one stage, on what the stages before left in the folder."""
    torch.set_num_threads(1)
    folder, recipe = Path(place), _recipe(jobs, device)

    def build() -> dict[str, Any]:
        users, items = max(60, domains), max(30, domains // 2)
        dials = {"domains": domains, "users": users, "items": items, "samples_per_domain": samples}
        write_market(folder / "data", memory=1 << 30, overlap=min(1.0, 300 / users), **dials)
        return {
            "rows": sum(len(Dataset.load(folder / "data").split(part)) for part in ("train", "val", "test"))
        }

    def trained(resume: bool) -> dict[str, Any]:
        train(recipe, Dataset.load(folder / "data"), folder / "run", resume=resume)
        event = next(e for e in read_events(folder / "run/events.jsonl") if e["event"] == "round")
        files = (folder / "run/checkpoints").rglob("*")
        return {
            "round_s": event["seconds"],
            "evaluation_s": event["evaluation_seconds"],
            "checkpoint_mb": sum(file.stat().st_size for file in files if file.is_file()) / 2**20,
            "val": event["val"]["log_loss"],
        }

    def evaluate() -> dict[str, Any]:
        metrics = Run.open(folder / "run").evaluate("test")
        return {"mean_auc": metrics.mean_auc}

    def resume() -> dict[str, Any]:
        told = trained(resume=True)
        return {"same": Run.open(folder / "run").evaluate("val").log_loss == told["val"]}

    def report() -> dict[str, Any]:
        path, _ = report_runs([folder / "run"], out=folder / "report.html")
        return {"page_mb": path.stat().st_size / 2**20}

    stages = {"build": build, "train": lambda: trained(False), "evaluate": evaluate}
    chosen: Callable[[], dict[str, Any]] = (stages | {"resume": resume, "report": report})[name]

    def measured() -> dict[str, Any]:
        figures = chosen()
        kinds = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        own, worker = (resource.getrusage(kind).ru_maxrss / 1024 for kind in kinds)
        return figures | {"peak_mb": own + jobs * worker}

    return measured


def _recipe(jobs: int, device: str) -> Recipe:
    strategy = {"name": "mamdr", "num_helpers": 1, "rows": "own", "helper_steps": 1, "own_steps": 1}
    train = {"rounds": 1, "patience": 0, "jobs": jobs, "device": device}
    at_work = {"specific": {}, "walk": {"batch_size": 1024}} if device != "cpu" else {}
    return Recipe.parse({**RECIPE, "strategy": strategy, "train": train, **at_work})


def measure(domains: int, samples: int, jobs: int, device: str, place: Path) -> dict[str, Any]:
    card = torch.cuda.get_device_name(device) if device != "cpu" else device
    found: dict[str, Any] = {"domains": domains, "jobs": jobs, "device": card}
    for name in STAGES:
        sizes = {"domains": domains, "samples": samples, "jobs": jobs}
        options = {"name": name, "place": str(place), **sizes, "device": device}
        with harness.Worker("benchmarks.taobao_online:stage", options) as worker:
            answer = worker.run()
        found[name] = {"seconds": answer.pop("wall"), **answer}
    walks = domains * (1 + 1 / domains)
    return found | {
        "rows": found["build"]["rows"],
        "ms_a_walk": 1000 * found["train"]["round_s"] / walks,
        "ms_a_domain": 1000 * found["evaluate"]["seconds"] / domains,
        "checkpoint_mb": found["train"]["checkpoint_mb"],
        "page_mb": found["report"]["page_mb"],
        "minutes": sum(found[name]["seconds"] for name in STAGES) / 60,
        "peak_mb": max(found[name]["peak_mb"] for name in STAGES),
        "same": found["resume"]["same"],
    }


def main() -> None:
    parser = harness.parser(__doc__ or "", repeats=1)
    parser.add_argument("--domains", type=int, default=DOMAINS)
    parser.add_argument("--samples", type=int, default=SAMPLES, help="rows of a domain on average")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="where training computes; cuda takes one job")
    parser.add_argument("--place", type=Path, help="an empty folder to work in; by default a temporary one")
    options: argparse.Namespace = parser.parse_args()
    domains = 12 if options.smoke else options.domains
    with tempfile.TemporaryDirectory() as temporary:
        place = options.place or Path(temporary)
        jobs = 1 if options.device != "cpu" else options.jobs
        found = measure(domains, options.samples, jobs, options.device, place)
    lines = [[name, *(found[name][key] for key in ("seconds", "cpu", "peak_mb"))] for name in STAGES]
    harness.report("taobao_online", found, [["stage", "seconds", "cpu s", "peak MB"], *lines], options.json)


if __name__ == "__main__":
    main()
