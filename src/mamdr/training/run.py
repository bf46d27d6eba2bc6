"""A run: what was trained, in memory or in its folder (see `training.folder`)."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mamdr import models
from mamdr.config import nearest
from mamdr.data.domains import Batch, Dataset, DomainData
from mamdr.engine import Session, WalkOptions, trace
from mamdr.errors import CheckpointError, ConfigError, DataError
from mamdr.evaluation.metrics import Metrics
from mamdr.parameters import Space, Store
from mamdr.strategies import State, Strategy, served
from mamdr.training import checkpoint
from mamdr.training.ensemble import Ensemble
from mamdr.training.events import Event, read_events
from mamdr.training.folder import check_settings, checkpoint_folder, find_data, read_info, read_recipe
from mamdr.training.recipe import Recipe
from mamdr.training.scoring import Progress, Scores, measure, predict
from mamdr.training.served import Served, what_serves
from mamdr.training.shelf import place_of

_AHEAD = 1 << 22  # rows scored before they are handed out: 16 MB


@dataclass
class Run:
    """A trained model: module, strategy and state, with the data they belong to.

    Args:
        module: the module; its own weights become the shared ones.
        space: its parameters, sorted.
        strategy: knows which parameters serve a domain.
        state: the best round's.
        data: the data set.
        walk: how its walks are walked.
        info: what `run.json` holds.
        folder: where it lives, when it does.
    """

    module: nn.Module
    space: Space
    strategy: Strategy
    state: State
    data: Dataset
    walk: WalkOptions = field(default_factory=WalkOptions)
    info: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        shared = self.state.shared
        _fill(self.module, self.space, shared.dense, shared.tables, self.state.buffers)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        module: nn.Module | None = None,
        strategy: Strategy | None = None,
        data: Dataset | str | Path | None = None,
    ) -> Run:
        """Open a run's folder at its best round.

        Args:
            folder: the run.
            module: the module, for a run whose model is not one of ours (its weights are overwritten).
            strategy: the strategy, for a run whose strategy no recipe can name.
            data: the data set or its folder, when it is no longer where it was.

        Raises:
            CheckpointError: no run there, nothing trained yet, damaged, or other data than it was trained on.
            ConfigError: the run's module or strategy is of the user's own, and was not given.
        """
        folder = Path(folder)
        info = read_info(folder)
        if not info["best_round"]:
            raise CheckpointError(
                f"{folder} has no finished round", "a trained run", "Go on with mamdr train --resume"
            )
        data = find_data(folder, info, data)
        tables = read_recipe(folder)
        check_settings(folder, info, tables)
        if module is None:
            module = build_model(tables.get("model", {"name": "custom"}), data, info["seed"])
        if strategy is None:
            strategy = _build_strategy(tables)
        specific = Recipe.specific_of(tables)
        space = specific.applied(trace(module, data.schema))
        best = checkpoint_folder(folder, info["best_round"])
        state, _ = checkpoint.load(best, space, functools.partial(place_of, specific))
        return cls(module, space, strategy, state, data, Recipe.walk_of(tables), info, folder)

    @property
    def name(self) -> str:
        return self.folder.name if self.folder else type(self.strategy).__name__

    @property
    def events(self) -> list[Event]:
        """What training told, oldest first."""
        return read_events(self.folder / "events.jsonl") if self.folder else []

    @property
    def served(self) -> list[Served] | None:
        """What serves each domain [D]: the share of its own part, and its own round; None where nothing tells yet."""
        events = self.events if self.state.chosen else []
        return what_serves(self.state, events, self.data.schema.domains)

    def predict(self, split: str = "test") -> Iterator[tuple[int, Scores]]:
        """For each domain its id and the click probabilities of its rows, in stored order.

        Between two domains the run can be used for anything else: scores are made some domains ahead.
        """
        for domains in _spans(self.data.split(split)):
            with self.session() as session:
                scored = list(predict(session, self.strategy, self.state, split, domains))
            yield from scored

    def evaluate(self, split: str = "test", progress: Progress | None = None) -> Metrics:
        """All figures on a split: AUC for each domain, their means, log loss, calibration, user-GAUC."""
        with self.session() as session:
            return measure(session, self.strategy, self.state, split, users=True, progress=progress)

    def summary(self, split: str = "test", progress: Progress | None = None) -> dict[str, Any]:
        """What `mamdr evaluate` prints: the figures, what they are figures of, what serves each domain (where told)."""
        names = ("model", "strategy", "seed", "finetuned")
        about = {name: self.info[name] for name in names} | {"run": self.name, "round": self.state.round}
        figures = self.evaluate(split, progress).to_json()
        for name, told in zip(self.data.schema.domains, self.served or (), strict=False):
            figures["domains"][name] |= asdict(told)
        return {**about, "split": split, "data": self.data.name, **figures}

    def module_for(self, domain: int | str) -> nn.Module:
        """A copy of the module with the parameters that serve a domain, to use as any module; where several rounds
        serve it, an `Ensemble` of such copies.

        Raises:
            ConfigError: no domain has this name or number.

        Cost: a copy of every table (for each such round); for many domains or large tables score through `predict`.
        """
        made = [self._module(store) for store in served(self.strategy, self.state, self._domain(domain))]
        return (made[0] if len(made) == 1 else Ensemble(made)).eval()

    def _module(self, store: Store) -> nn.Module:
        point, module = store.pull(self.space.all_ids()), copy.deepcopy(self.module)
        tables = [point.rows(number) for number in range(len(self.space.tables))]
        _fill(module, self.space, point.dense, tables, self.state.buffers)
        return module

    def score(self, domain: int | str, batch: Batch) -> Tensor:
        """Click probabilities [B] of a batch's rows in a domain; the column "domain" need not be given.

        Raises:
            ConfigError: no domain has this name or number.
            DataError: a column that the module reads is missing, or holds ids out of range.
        """
        number, rows = self._domain(domain), len(next(iter(batch.values())))
        batch = {"domain": torch.full((rows,), number), **batch}
        self.data.schema.check(batch)
        try:
            with torch.no_grad():
                return torch.sigmoid(self.module_for(number)(batch))
        except KeyError as error:
            raise DataError(
                f"the batch has no column {error}",
                "every column that the module reads",
                "Add it to the batch",
            ) from error

    def _domain(self, domain: int | str) -> int:
        names = self.data.schema.domains
        if isinstance(domain, str):
            if domain not in names:
                raise ConfigError(
                    f"no domain is named {domain!r}", "one of the data's", nearest(domain, names)
                )
            return names.index(domain)
        if not 0 <= domain < len(names):
            raise ConfigError(
                f"domain {domain}", f"a number from 0 to {len(names) - 1}", "Correct the number"
            )
        return domain

    def session(self) -> Session:
        """A session on the run's module and data, to walk, predict or take gradients in."""
        return Session(self.module, self.space, self.data, self.walk)


def build_model(table: dict[str, Any], data: Dataset, seed: int) -> nn.Module:
    """The module of a recipe's `[model]` table."""
    settings = dict(table)
    name = settings.pop("name")
    if name == "custom":
        raise ConfigError(
            f"the run's model is a module of your own ({settings.get('of', '?')})",
            "that module",
            "Open the run in Python: mamdr.Run.open(folder, module=...)",
        )
    return models.build(name, data.schema, settings, seed=seed)


def _spans(rows: DomainData) -> Iterator[range]:
    """Runs of domains that have about `_AHEAD` rows together."""
    begin, held = 0, 0
    for domain in range(len(rows.offsets) - 1):
        held += rows.size(domain)
        if held >= _AHEAD:
            yield range(begin, domain + 1)
            begin, held = domain + 1, 0
    if begin < len(rows.offsets) - 1:
        yield range(begin, len(rows.offsets) - 1)


def _build_strategy(tables: dict[str, Any]) -> Strategy:
    """The strategy of a run's recipe."""
    table = tables.get("strategy", {"name": "custom"})
    if table.get("name") == "custom":
        raise ConfigError(
            f"the run's strategy is one of your own ({table.get('of', '?')})",
            "that strategy",
            "Open the run in Python: mamdr.Run.open(folder, strategy=...)",
        )
    return Recipe.parse(tables).strategy


def _fill(
    module: nn.Module, space: Space, dense: Tensor, tables: Sequence[Tensor], buffers: dict[str, Tensor]
) -> None:
    """Set a module's weights and buffers."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for part in space.dense:
            values = dense[part.offset : part.offset + part.size]
            parameters[part.name].copy_(values.view(part.shape))
        for table, rows in zip(space.tables, tables, strict=True):
            parameters[table.name].copy_(rows)
        for name, buffer in module.named_buffers():
            if name in buffers:
                buffer.copy_(buffers[name])
