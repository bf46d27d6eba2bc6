"""The outer loop, the only one: rounds of a strategy, each measured on validation data and checkpointed."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mamdr
from mamdr.data.domains import Dataset
from mamdr.engine import Session, Walker, WalkOptions, choose, trace
from mamdr.engine.gradients import Gradients
from mamdr.errors import ConfigError
from mamdr.evaluation.conflict import conflict
from mamdr.evaluation.metrics import Metrics
from mamdr.files import discard, sweep
from mamdr.memory import peak_mb
from mamdr.parameters import LocalStore, Point, Space, Specific
from mamdr.seeds import derive
from mamdr.strategies import Problem, State, Strategy, notes
from mamdr.strategies import Run as RunWalks
from mamdr.training import checkpoint
from mamdr.training.events import JsonLines, Listener, Listeners
from mamdr.training.folder import (
    FORMAT,
    check_fingerprint,
    check_folder,
    check_settings,
    checkpoint_folder,
    locked,
    read_info,
    settings_of,
    write_info,
    write_recipe,
)
from mamdr.training.heard import Heard
from mamdr.training.options import TrainOptions, check_options
from mamdr.training.own_rounds import OwnRounds, check_statistics
from mamdr.training.run import Run
from mamdr.training.scoring import check_data, measure, watched
from mamdr.training.shares import choose_shares, shrink
from mamdr.training.shelf import place_of
from mamdr.training.stopping import EarlyStopping

TOLD = 1000
"""Domains that an event tells of; of more, those with the lowest and the highest AUC. `mamdr evaluate` has all."""


class Trainer:
    """Trains a module on many domains with a strategy, and keeps the round that validation prefers.

    Args:
        module: any module with `forward(batch) -> logits [B]`. Its tables become the shared ones and change in place.
        data: the data set; test rows are never read here.
        strategy: the learning strategy.
        options: the outer loop's settings.
        walk: the inner loop's settings.
        specific: which parameters a domain's specific part may hold, and at what rank; by default all, whole.
        folder: where to keep checkpoints, events and the recipe; None keeps the best round in memory.
        recipe: what to write as `recipe.toml`.
        listeners: hear of events.
    """

    def __init__(
        self,
        module: nn.Module,
        data: Dataset,
        strategy: Strategy,
        options: TrainOptions,
        walk: WalkOptions,
        *,
        specific: Specific | None = None,
        folder: Path | None = None,
        recipe: Mapping[str, Any] | None = None,
        listeners: Iterable[Listener] = (),
    ) -> None:
        check_options(options, walk)
        self.module = _moved(module, options.device)
        self.data, self.strategy, self.options, self.walk = data, strategy, options, walk
        self.folder, self.recipe = folder, dict(recipe or {})
        self.listeners = list(listeners)
        self.specific = specific or Specific()
        self.space = self.specific.applied(trace(self.module, data.schema))
        self.stopping = EarlyStopping(options.patience or None)
        own = OwnRounds(() if options.shrink else options.shares, options.mean_within, options.snapshots)
        self.own = own if options.choose == "domain" else None
        self._best: State | None = None
        self._said: list[str] = []

    def fit(self, *, resume: bool = False) -> Run:
        """Train until the rounds are done or validation stops rising; the run at its best round.

        With `resume` go on after the last checkpoint: the same bits as if nothing had happened.

        Raises:
            CheckpointError: the folder holds a run and `resume` is off, or a run of other data, model or settings.
            TrainingError: training cannot go on.
            DataError: no training rows, or no validation domain with both classes.
            ConfigError: nothing to resume, for there is no folder.
        """
        if resume and self.folder is None:
            raise ConfigError(
                "resume without a folder", "the folder of the run to go on with", "Give folder="
            )
        check_data(self.data, self.options.monitor)
        if self.own is not None:
            check_statistics(self.module, self.data)
        if self.folder is not None:
            check_folder(self.folder, resume=resume)
        with nullcontext() if self.folder is None else locked(self.folder):
            state, info = self._begin()
            events = [JsonLines(self.folder / "events.jsonl", state.round)] if self.folder else []
            listeners = Listeners([*events, *self.listeners])
            try:
                with Session(self.module, self.space, self.data, self.walk) as session:
                    self._rounds(session, state, info, listeners)
            finally:
                listeners.close()
        return Run(
            self.module,
            self.space,
            self.strategy,
            self._best_state(state),
            self.data,
            self.walk,
            info,
            self.folder,
        )

    def _rounds(self, session: Session, state: State, info: dict[str, Any], listeners: Listeners) -> None:
        problem = self._problem(session)
        if state.round == 0:
            state = self.strategy.init(state, problem)
        state.shares = {}  # chosen at the end of a sitting, and anew at the end of the next
        with closing(Heard(self._walks(session, state), listeners, self.options.hold)) as run:
            self._go_on(session, state, problem, info, run)

    def _go_on(
        self, session: Session, state: State, problem: Problem, info: dict[str, Any], run: Heard
    ) -> None:
        """All rounds that are left."""
        listeners = run.listeners
        told = notes(self.strategy, problem, self.space, self.walk.batch_size)
        about = {"round": state.round, "rounds": self.options.rounds, "notes": told}
        if state.round == 0:
            about |= self._conflict(session, state)
        listeners.hear("start", **about, **_describe(info))
        done = info["status"] == "finished" and self.stopping.waited >= (self.options.patience or 1 << 62)
        while state.round < self.options.rounds and not done:
            run.round, run.last = state.round, state.round + 1 == self.options.rounds
            begun, samples = time.perf_counter(), state.samples
            state = self._round(state, problem, run)
            state.round += 1
            trained = time.perf_counter()
            kept = self._shrink(session, state)
            metrics = self._measure(session, state)
            if self.own is not None:
                self.own.update(session, self.strategy, state, metrics, kept)
            done = self.stopping.update(state.round, watched(metrics, self.options.monitor))
            self._save(state)
            listeners.hear(
                "round",
                round=state.round,
                seconds=round(trained - begun, 3),
                evaluation_seconds=round(time.perf_counter() - trained, 3),
                samples=state.samples - samples,
                losses=state.losses,
                train_loss=_mean_loss(state),
                val=metrics.to_json(TOLD),
                best_round=self.stopping.best_round,
                peak_mb=peak_mb(),
                **self._told(),
                **self._conflict(session, state),
            )
            self._commit(state, info, done)
        reason = "validation" if done else "rounds"
        self._choose(session, state, listeners)
        info |= {"status": "finished", "stopped_by": reason}
        if self.folder:
            write_info(self.folder, info)
        listeners.hear("stop", round=state.round, best_round=self.stopping.best_round, stopped_by=reason)

    def _walks(self, session: Session, state: State) -> RunWalks:
        """Who walks; the state is the first round's, or the one to go on from."""
        options = self.options
        return choose(Walker(session), options.engine, options.jobs, options.engine_mb, self._said.append)

    def _round(self, state: State, problem: Problem, run: RunWalks) -> State:
        return self.strategy.round(state, problem, run)

    def _measure(self, session: Session, state: State) -> Metrics:
        return measure(session, self.strategy, replace(state, chosen={}), "val")

    def _shrink(self, session: Session, state: State) -> dict[int, float]:
        """The shares of specific parts that were kept of this round, by domain; of others all."""
        if not self.options.shrink:
            return {}
        kept = shrink(session, self.strategy, replace(state, chosen={}), self.options.shares)
        return dict.fromkeys(state.backoff, 0.0) | kept  # a part that rests is none

    def _told(self) -> dict[str, Any]:
        """What a round's event tells beside figures: what the engine had to say since the last one."""
        said, self._said[:] = list(self._said), []
        return {"notes": said} if said else {}

    def _choose(self, session: Session, last: State, listeners: Listeners) -> None:
        """Choose what serves each domain, in the best round's state alone."""
        if self.own is None and (self.options.shrink or not self.options.shares):
            return
        best, names = self._best_state(last), self.data.schema.domains
        if self.own is not None:
            best.chosen, best.further = last.chosen, last.further
            told: dict[str, Any] = {"domains": self.own.told(names)}
        else:
            best.shares = choose_shares(session, self.strategy, best, self.options.shares)
            told = {"shares": {names[domain]: share for domain, share in best.shares.items()}}
        metrics = measure(session, self.strategy, best, "val")
        if self.folder is not None:
            path = checkpoint_folder(self.folder, best.round)
            checkpoint.save(path, best, checkpoint.read_meta(path)["extra"])
        kind = "shares" if self.own is None else "own_rounds"
        listeners.hear(kind, round=best.round, **told, val=metrics.to_json(TOLD))

    def _conflict(self, session: Session, state: State) -> dict[str, Any]:
        """What an event tells of the conflict between domains, in the rounds that record it."""
        every = self.options.conflict_every
        if not every or state.round % every:
            return {}
        gradients = Gradients(session, state.buffers, seed=self.options.seed)
        return {"conflict": conflict(gradients, state.shared, seed=self.options.seed).summary()}

    def _begin(self) -> tuple[State, dict[str, Any]]:
        """A fresh state, or the last checkpoint's."""
        fresh = State(
            LocalStore.of(self.module, self.space),
            self._place(self.space.part),
            tuned=self._place(self.space.part),
            chosen=self._place(self.space),
            further=self._place(self.space),
            buffers={name: buffer.clone() for name, buffer in self.module.named_buffers()},
            seed=derive(self.options.seed, "strategy"),
        )
        if self.folder is None:
            return fresh, self._info()
        if (self.folder / "run.json").exists():
            return self._resume(fresh)
        sweep(self.folder)
        info = self._info()
        write_recipe(self.folder, self.recipe)
        write_info(self.folder, info)
        return fresh, info

    def _resume(self, fresh: State) -> tuple[State, dict[str, Any]]:
        assert self.folder is not None
        info = read_info(self.folder)
        check_fingerprint(self.folder, info, self.data)
        check_settings(self.folder, info, self.recipe)
        state = fresh
        for place in (self.folder, self.folder / "checkpoints"):
            sweep(place)
        if info["last_round"]:
            state, extra = self._last(info["last_round"])
            if self.own is not None:
                self.own.load(extra["own"])
            self.stopping = EarlyStopping(**extra["stopping"] | {"patience": self.options.patience or None})
        info["data"] = self._info()["data"]  # the data may have moved
        write_recipe(self.folder, self.recipe)
        return state, info

    def _last(self, round: int) -> tuple[State, dict[str, Any]]:
        """The state that a round ended with, and what was saved with it."""
        assert self.folder is not None
        return checkpoint.load(checkpoint_folder(self.folder, round), self.space, self._place)

    def _info(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": mamdr.__version__,
            "status": "running",
            "model": str(self.recipe.get("model", {}).get("name", type(self.module).__name__)),
            "strategy": str(self.recipe.get("strategy", {}).get("name", type(self.strategy).__name__)),
            "seed": self.options.seed,
            "monitor": self.options.monitor,
            "finetuned": self.strategy.finetunes,
            "parameters": sum(p.numel() for p in self.module.parameters() if p.requires_grad),
            "data": {
                "name": self.data.name,
                "fingerprint": self.data.fingerprint,
                "folder": str(self.data.folder or ""),
            },
            "settings": settings_of(self.recipe),
            "last_round": 0,
            "best_round": 0,
            "best_value": None,
            "stopped_by": "",
        }

    def _problem(self, session: Session) -> Problem:
        sizes = tuple(self.data.train.size(domain) for domain in range(len(self.data.schema.domains)))
        return Problem(sizes, session.rows.of, self.walk.batch_size)

    def _save(self, state: State) -> None:
        """Write a checkpoint of this round; it counts once `run.json` points at it."""
        if self.folder is not None:
            extra = {"stopping": asdict(self.stopping), "own": self.own.to_json() if self.own else []}
            checkpoint.save(checkpoint_folder(self.folder, state.round), state, extra)
        elif self.stopping.best_round == state.round:
            self._best = copy.deepcopy(state)

    def _commit(self, state: State, info: dict[str, Any], done: bool) -> None:
        """Point `run.json` at this round, whose checkpoint and event are written, and then drop what nothing points at:
        a kill at any moment leaves a run that can go on."""
        stopping = self.stopping
        info |= {"last_round": state.round, "best_round": stopping.best_round, "best_value": stopping.best}
        info |= {"status": "finished" if done else "running", "stopped_by": ""}
        if self.folder is None:
            return
        write_info(self.folder, info)
        self._prune((state.round, stopping.best_round))

    def _prune(self, rounds: Sequence[int]) -> None:
        """Drop the checkpoints of all other rounds."""
        assert self.folder is not None
        keep = {checkpoint_folder(self.folder, round) for round in rounds}
        sweep(self.folder / "checkpoints")
        for old in (self.folder / "checkpoints").iterdir():
            if old not in keep:
                discard(old)

    def _best_state(self, state: State) -> State:
        if self.folder is not None:
            best = checkpoint_folder(self.folder, self.stopping.best_round)
            return checkpoint.load(best, self.space, self._place)[0]
        return self._best or state

    def _place(self, space: Space) -> MutableMapping[int, Point]:
        """An empty place for domains' points: in memory, or on disk where their memory is bounded."""
        return place_of(self.specific, space, self.folder)


def _moved(module: nn.Module, device: str) -> nn.Module:
    try:
        return module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"train.device = {device!r} ({str(error).splitlines()[0]})", "a device of this machine", "Try cpu"
        ) from error


def _describe(info: Mapping[str, Any]) -> dict[str, Any]:
    return {key: info[key] for key in ("model", "strategy", "seed", "data", "parameters", "version")}


def _mean_loss(state: State) -> float | None:
    return sum(state.losses.values()) / len(state.losses) if state.losses else None
