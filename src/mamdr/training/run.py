"""A run: what was trained, in memory or in its folder.

RUN/recipe.toml        every setting, spelt out
RUN/run.json           which data, how far, which round was best
RUN/events.jsonl       one line an event
RUN/checkpoints/       the last round and the best one
RUN/metrics-SPLIT.json what `mamdr evaluate` found
"""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mamdr import models
from mamdr.data.domains import Batch, Dataset
from mamdr.engine import Session, WalkOptions, trace
from mamdr.errors import CheckpointError, ConfigError
from mamdr.evaluation.metrics import Metrics
from mamdr.files import write_json
from mamdr.parameters import Space
from mamdr.strategies import State, Strategy
from mamdr.training import checkpoint
from mamdr.training.events import Event, read_events
from mamdr.training.recipe import Recipe
from mamdr.training.scoring import Scores, measure, predict

FORMAT = 1


@dataclass
class Run:
    """A trained model: module, strategy and state, with the data they belong to.

    Args:
        module: the module; its own weights are the shared ones.
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
        """
        folder = Path(folder)
        info = read_info(folder)
        if not info["best_round"]:
            raise CheckpointError(
                f"{folder} has no finished round", "a trained run", "Go on with mamdr train --resume"
            )
        if not isinstance(data, Dataset):
            data = Dataset.load(Path(data or info["data"]["folder"]))
        check_fingerprint(folder, info, data)
        tables = read_recipe(folder)
        if module is None:
            module = build_model(tables["model"], data, info["seed"])
        if strategy is None:
            strategy = Recipe.parse(tables).strategy
        space = trace(module, data.schema)
        state, _ = checkpoint.load(checkpoint_folder(folder, info["best_round"]), space)
        return cls(module, space, strategy, state, data, WalkOptions(), info, folder)

    @property
    def name(self) -> str:
        return self.folder.name if self.folder else type(self.strategy).__name__

    @property
    def events(self) -> list[Event]:
        """What training told, oldest first."""
        return read_events(self.folder / "events.jsonl") if self.folder else []

    def predict(self, split: str = "test") -> Iterator[tuple[int, Scores]]:
        """For each domain its id and the click probabilities of its rows, in stored order."""
        with self._session() as session:
            yield from predict(session, self.strategy, self.state, split)

    def evaluate(self, split: str = "test") -> Metrics:
        """All figures on a split: AUC for each domain, their means, log loss, calibration, user-GAUC."""
        with self._session() as session:
            return measure(session, self.strategy, self.state, split, users=True)

    def summary(self, split: str = "test") -> dict[str, Any]:
        """What `mamdr evaluate` prints: the figures, and what they are figures of."""
        names = ("model", "strategy", "seed", "finetuned")
        about = {name: self.info[name] for name in names} | {"run": self.name, "round": self.state.round}
        return {**about, "split": split, "data": self.data.name, **self.evaluate(split).to_json()}

    def module_for(self, domain: int | str) -> nn.Module:
        """A copy of the module with the parameters that serve a domain, to use as any module.

        Cost: a copy of every table; for many domains or large tables score through `predict`.
        """
        index = self.data.schema.domains.index(domain) if isinstance(domain, str) else domain
        point = self.strategy.params_for(self.state, index).pull(self.space.all_ids())
        module = copy.deepcopy(self.module)
        parameters = dict(module.named_parameters())
        with torch.no_grad():
            for number, part in enumerate(self.space.dense):
                parameters[part.name].copy_(point.parameter(number))
            for number, table in enumerate(self.space.tables):
                parameters[table.name].copy_(point.rows(number))
            for name, buffer in module.named_buffers():
                if name in self.state.buffers:
                    buffer.copy_(self.state.buffers[name])
        return module.eval()

    def score(self, domain: int | str, batch: Batch) -> Tensor:
        """Click probabilities [B] of a batch's rows in a domain."""
        module = self.module_for(domain)
        with torch.no_grad():
            return torch.sigmoid(module(batch))

    def _session(self) -> Session:
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


def checkpoint_folder(folder: Path, round: int) -> Path:
    return folder / "checkpoints" / f"round-{round:05d}"


def read_info(folder: Path) -> dict[str, Any]:
    """A run's `run.json`."""
    try:
        info: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"no run at {folder}", "a folder that mamdr train wrote", "Check the path"
        ) from error
    if info.get("format") != FORMAT:
        raise CheckpointError(
            f"run format {info.get('format')} in {folder}", f"format {FORMAT}", "Train anew"
        )
    return info


def read_recipe(folder: Path) -> dict[str, Any]:
    """A run's `recipe.toml`."""
    try:
        return tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CheckpointError(
            f"no readable recipe.toml in {folder}", "the run's recipe", "Train anew"
        ) from error


def write_info(folder: Path, info: dict[str, Any]) -> None:
    write_json(folder / "run.json", info)


def check_fingerprint(folder: Path, info: dict[str, Any], data: Dataset) -> None:
    """Raise CheckpointError when the data are not those that the run was trained on."""
    if info["data"]["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"the data {data.name!r} are not those that {folder} was trained on ({info['data']['name']!r})",
            f"fingerprint {info['data']['fingerprint'][:12]}, found {data.fingerprint[:12]}",
            "Give the right folder with --data, or train into a new folder",
        )
