"""Training in one call."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from mamdr import strategies
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.errors import ConfigError
from mamdr.strategies import Strategy
from mamdr.training.events import Listener
from mamdr.training.options import TrainOptions
from mamdr.training.recipe import Recipe
from mamdr.training.run import Run
from mamdr.training.trainer import Trainer


def fit(
    module: nn.Module,
    data: Dataset,
    strategy: Strategy | None = None,
    *,
    lr: float = 0.001,
    options: TrainOptions | None = None,
    walk: WalkOptions | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    listeners: Iterable[Listener] = (),
    **settings: Any,
) -> Run:
    """Train a module of your own on many domains.

    Args:
        module: `forward(batch) -> logits [B]`, with batch a dict of columns (`data.schema` names them, and "domain").
        data: the data set.
        strategy: by default `MAMDR()`.
        lr: the rate of Adam inside a walk, when `walk` is not given.
        options: the outer loop's settings; or name single ones: `rounds`, `patience`, `monitor`, `seed`, `jobs`,
            `device`.
        walk: the inner loop's settings; or name single ones: `batch_size`, `embedding_l2`, `rows`, `dropout`,
            `precision`, `inner`.
        folder: keep the run there; then it can be resumed, opened, and reported.
        resume: go on with the run in `folder`.
        listeners: hear of events (see `mamdr.training.events`).

    Returns: the run, at the round that validation prefers.

    >>> import mamdr
    >>> data = mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200)
    >>> module = mamdr.models.build("mlp", data.schema, {"embedding": 4, "hidden": (8,)})
    >>> run = mamdr.fit(module, data, mamdr.strategies.MAMDR(num_helpers=1), rounds=2, batch_size=64, seed=1)
    >>> sorted(run.evaluate("test").aucs())
    ['domain-00000', 'domain-00001', 'domain-00002']
    """
    outer = {key: settings.pop(key) for key in list(settings) if key in TrainOptions.__dataclass_fields__}
    within = {key: settings.pop(key) for key in list(settings) if key in WalkOptions.__dataclass_fields__}
    if settings:
        known = sorted([*TrainOptions.__dataclass_fields__, *WalkOptions.__dataclass_fields__])
        raise ConfigError(f"unknown setting {next(iter(settings))!r}", ", ".join(known), "Correct the call")
    strategy = strategy or strategies.MAMDR()
    options = options or TrainOptions(**outer)
    walk = walk or WalkOptions(**{"inner": inner.Adam(lr=lr), **within})
    kind = type(module)
    recipe = Recipe(
        {"name": "custom", "of": f"{kind.__module__}.{kind.__qualname__}"}, strategy, walk, options
    )
    trainer = Trainer(
        module,
        data,
        strategy,
        options,
        walk,
        folder=Path(folder) if folder else None,
        recipe=_tables(recipe),
        listeners=listeners,
    )
    return trainer.fit(resume=resume)


def _tables(recipe: Recipe) -> dict[str, Any]:
    """The recipe's tables; a strategy that no name stands for is written by its type alone."""
    try:
        return recipe.tables()
    except ConfigError:
        named = Recipe(recipe.model, strategies.Alternate(), recipe.walk, recipe.train).tables()
        return named | {"strategy": {"name": "custom", "of": repr(recipe.strategy)}}
