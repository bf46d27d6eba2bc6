"""The library's multi-domain models on a table: a case for worker.py. Joint training, so that batches are mixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import multi
from mamdr.data.domains import Dataset
from mamdr.engine import Sequential, Session, Walker, WalkOptions, inner, trace
from mamdr.models import build
from mamdr.parameters import LocalStore
from mamdr.strategies import Joint, Problem, State

SETTINGS: dict[str, dict[str, Any]] = {
    "shared_bottom": {"hidden": multi.BOTTOM, "towers": multi.TOWER},
    "mmoe": {"experts": multi.EXPERTS, "count": multi.COUNT, "gates": (), "towers": multi.TOWER},
    "ple": {
        "levels": multi.LEVELS,
        "experts": multi.PLE_EXPERTS,
        "shared": 1,
        "specific": 1,
        "gates": (),
        "towers": multi.PLE_TOWER,
    },
    "star": {"hidden": multi.STAR_HIDDEN, "auxiliary": multi.STAR_AUXILIARY},
}


def prepare(folder: str, model: str, batch: int) -> Callable[[], dict[str, Any]]:
    torch.set_num_threads(1)
    data = Dataset.load(Path(folder) / "dataset")
    settings = SETTINGS[model] | {"embedding": multi.EMBEDDING, "dropout": multi.DROPOUT}
    module = build(model, data.schema, settings)
    options = WalkOptions(batch_size=batch, inner=inner.Adam(lr=multi.LR))
    session = Session(module, trace(module, data.schema), data, options).__enter__()
    sizes = tuple(data.train.size(domain) for domain in range(len(data.schema.domains)))
    problem, walks = Problem(sizes, session.rows.of, session.options.batch_size), Sequential(Walker(session))
    state = State(LocalStore.of(module, session.space), seed=1)

    def run() -> dict[str, Any]:
        before = state.samples
        Joint().round(state, problem, walks)
        state.round += 1
        return {"samples": state.samples - before}

    return run
