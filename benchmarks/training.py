"""A recipe at work on a data folder, round after round: the case of benchmarks that compare strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mamdr.data.domains import Dataset
from mamdr.engine import Sequential, Session, Walker, trace
from mamdr.parameters import LocalStore
from mamdr.strategies import Problem, State
from mamdr.training import Recipe
from mamdr.training.run import build_model


def prepare(folder: str, recipe: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: rounds of a recipe's strategy in one thread; tells rows, steps and dense values."""
    torch.set_num_threads(1)
    settings, data = Recipe.parse(recipe), Dataset.load(Path(folder))
    module = build_model(settings.model, data, seed=1)
    space = trace(module, data.schema)
    session = Session(module, space, data, settings.walk)
    run = Sequential(Walker(session.__enter__()))
    problem = Problem(
        tuple(data.train.size(d) for d in range(len(data.schema.domains))),
        session.rows.of,
        session.options.batch_size,
    )
    kept = [settings.strategy.init(State(LocalStore.of(module, space), seed=1), problem)]

    def round() -> dict[str, Any]:
        before = kept[0].samples
        kept[0] = settings.strategy.round(kept[0], problem, run)
        kept[0].round += 1
        return {"samples": kept[0].samples - before, "dense": space.dense_size}

    return round
