"""Runs small enough for a test, and what two of them must have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mamdr.data.domains import Batch, Dataset
from mamdr.engine import WalkOptions
from mamdr.engine.inner import Adam
from mamdr.seeds import generator
from mamdr.strategies import MAMDR, Strategy
from mamdr.testing import TwoTables, tiny_market
from mamdr.testing.market import ITEMS, USERS
from mamdr.training import Run, Trainer, TrainOptions

WALK = WalkOptions(batch_size=8, inner=Adam(lr=0.01))
RECIPE: dict[str, Any] = {"model": {"name": "custom"}, "strategy": {"name": "custom"}}
_BESIDE = ("tensorboard", "metrics-", "report.html")  # what is no part of the run itself
_TIMES = ("time", "seconds", "evaluation_seconds", "peak_mb")


class Normed(TwoTables):
    """Two tables with batch normalisation between: a module with running statistics."""

    def __init__(self) -> None:
        super().__init__(dropout=0.3)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, batch: Batch) -> Tensor:
        rows = torch.cat([self.user(batch["user_id"]), self.item(batch["item_id"])], dim=1)
        logits: Tensor = self.logit(self.drop(torch.tanh(self.norm(self.hidden(rows)))))
        return logits.squeeze(1)


def odd_market() -> Dataset:
    """Domains of every awkward kind: 30 rows, none to train on, one row, one class everywhere, nothing at all."""
    draw = generator(3, "odd")
    sizes = {"train": (30, 0, 1, 12, 0), "val": (12, 6, 1, 6, 0), "test": (12, 6, 1, 6, 0)}
    splits = {}
    for part, rows in sizes.items():
        domain = np.repeat(np.arange(len(rows)), rows)
        columns = {
            "user_id": draw.integers(0, USERS, len(domain)),
            "item_id": draw.integers(0, ITEMS, len(domain)),
        }
        label = np.where(domain == 3, 1, np.arange(len(domain)) % 2)
        splits[part] = {**columns, "domain": domain, "label": label}
    names = ["plain", "unseen", "one row", "one class", "empty"]
    return Dataset.from_arrays("odd", names, splits, {"user_id": USERS, "item_id": ITEMS})


def trainer(
    folder: Path | None = None,
    strategy: Strategy | None = None,
    *,
    module: nn.Module | None = None,
    data: Dataset | None = None,
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> Trainer:
    """A trainer of few rounds on a tiny market that never stops early."""
    return Trainer(
        module or Normed(),
        data or tiny_market(),
        strategy or MAMDR(num_helpers=2),
        TrainOptions(**{"rounds": 2, "patience": 0, **options}),
        WALK,
        folder=folder,
        recipe=RECIPE if recipe is None else recipe,
    )


def train(
    folder: Path | None = None, strategy: Strategy | None = None, *, resume: bool = False, **settings: Any
) -> Run:
    """A run on a tiny market."""
    return trainer(folder, strategy, **settings).fit(resume=resume)


def events_of(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    """The events of these kinds that a run's folder holds, without their times."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return [
        {key: value for key, value in event.items() if key not in _TIMES}
        for event in events
        if event["event"] in kinds
    ]


def assert_same_run(one: Path, other: Path) -> None:
    """Both folders hold the same run: what it learned tensor by tensor, what it told, and what it says of itself."""
    a, b = _read(one), _read(other)
    assert a["names"] == b["names"]
    for name, (tensors, meta) in a["checkpoints"].items():
        others, other_meta = b["checkpoints"][name]
        assert meta == other_meta, name
        assert tensors.keys() == others.keys()
        different = [key for key in tensors if not torch.equal(tensors[key], others[key])]
        assert different == [], name
    assert a["rounds"] == b["rounds"]
    assert a["info"] == b["info"]


def _read(folder: Path) -> dict[str, Any]:
    checkpoints = {}
    for part in (folder / "checkpoints").iterdir():
        meta = json.loads((part / "meta.json").read_text(encoding="utf-8"))["content"]
        meta.pop("tensors")  # a hash of bytes that need not lie in the same order
        meta["extra"]["stopping"].pop("patience")  # a setting, which may change
        checkpoints[part.name] = load_file(part / "state.safetensors"), meta
    return {
        "names": sorted(path.name for path in folder.iterdir() if not path.name.startswith(_BESIDE)),
        "checkpoints": dict(sorted(checkpoints.items())),
        "rounds": events_of(folder, "round", "stop"),
        "info": json.loads((folder / "run.json").read_text(encoding="utf-8")),
    }
