"""Training in one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from mamdr import strategies
from mamdr.config import nearest, parse
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.errors import ConfigError
from mamdr.parameters import Specific
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
    specific: Specific | Callable[[str], bool] | str | Sequence[str] = "all",
    folder: str | Path | None = None,
    resume: bool = False,
    listeners: Iterable[Listener] = (),
    **settings: Any,
) -> Run:
    """Train a module of your own on many domains.

    Args:
        module: `forward(batch) -> logits [B]`, with batch a dict of columns (`data.schema` names them, and "domain").
        data: the data set.
        strategy: by default `MAMDR.safe()`, which needs no tuning; `MAMDR()` is the paper's.
        lr: the rate of Adam inside a walk, when `walk` is not given.
        options: the outer loop's settings; or name single ones: `rounds`, `patience`, `monitor`, `seed`, `jobs`,
            `device`.
        walk: the inner loop's settings; or name single ones: `batch_size`, `embedding_l2`, `rows`, `dropout`,
            `precision`, `inner`. What is named singly counts, whatever `options` and `walk` say.
        specific: which parameters a domain's specific part may hold: "all", "dense", patterns of names, a predicate of
            a parameter's name, or a `Specific`; `rank` may be named singly.
        folder: keep the run there; then it can be resumed, opened, and reported.
        resume: go on with the run in `folder`.
        listeners: hear of events (see `mamdr.training.events`).

    Returns: the run, at the round that validation prefers.
    Raises: ConfigError for an unknown setting or a value out of range; else as `Trainer.fit`.

    >>> import mamdr
    >>> data = mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200)
    >>> module = mamdr.models.build("mlp", data.schema, {"embedding": 4, "hidden": (8,)})
    >>> run = mamdr.fit(module, data, mamdr.strategies.MAMDR(num_helpers=1), rounds=2, batch_size=64, seed=1)
    >>> sorted(run.evaluate("test").aucs)
    ['domain-00000', 'domain-00001', 'domain-00002']
    """
    outer = {key: settings.pop(key) for key in list(settings) if key in TrainOptions.__dataclass_fields__}
    within = {key: settings.pop(key) for key in list(settings) if key in WalkOptions.__dataclass_fields__}
    kept = _specific(module, specific, {"rank": settings.pop("rank")} if "rank" in settings else {})
    if settings:
        known = sorted([*TrainOptions.__dataclass_fields__, *WalkOptions.__dataclass_fields__, "rank"])
        wrong = next(iter(settings))
        raise ConfigError(f"unknown setting {wrong!r}", f"one of {', '.join(known)}", nearest(wrong, known))
    if walk is None and "inner" not in within:
        within["inner"] = parse(inner.Adam, {"lr": lr}, "inner")
    strategy = strategy or strategies.MAMDR.safe()
    options = _changed(options or TrainOptions(), outer, "train")
    walk = _changed(walk or WalkOptions(), within, "walk")
    kind = type(module)
    recipe = Recipe(
        {"name": "custom", "of": f"{kind.__module__}.{kind.__qualname__}"},
        strategy,
        walk,
        options,
        specific=kept,
    )
    trainer = Trainer(
        module,
        data,
        strategy,
        options,
        walk,
        specific=kept,
        folder=Path(folder) if folder else None,
        recipe=_tables(recipe),
        listeners=listeners,
    )
    return trainer.fit(resume=resume)


T = TypeVar("T", TrainOptions, WalkOptions, Specific)


def _specific(
    module: nn.Module,
    wanted: Specific | Callable[[str], bool] | str | Sequence[str],
    values: dict[str, Any],
) -> Specific:
    """What `fit` was told of specific parts."""
    if callable(wanted):
        wanted = Specific.chosen(module, wanted)
    elif not isinstance(wanted, Specific):
        named = wanted if isinstance(wanted, str) else tuple(wanted)
        wanted = parse(Specific, {"parameters": named}, "specific")
    return _changed(wanted, values, "specific")


def _changed(options: T, values: dict[str, Any], where: str) -> T:
    """Options with these values in the place of their own."""
    kept = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return parse(type(options), kept | values, where)


def _tables(recipe: Recipe) -> dict[str, Any]:
    """The recipe's tables; a strategy that no name stands for is written by its type alone."""
    try:
        return recipe.tables()
    except ConfigError:
        named = Recipe(
            recipe.model, strategies.Alternate(), recipe.walk, recipe.train, specific=recipe.specific
        ).tables()
        return named | {"strategy": {"name": "custom", "of": _described(recipe.strategy)}}


def _described(strategy: Strategy) -> str:
    """A strategy in words that are the same in the next process, so that a run can be resumed."""
    kind = type(strategy)
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__repr__ is object.__repr__ else repr(strategy)
