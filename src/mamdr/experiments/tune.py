"""Search for settings by validation alone, with Optuna; goes on where it was stopped.

OUT/study.db       every trial, SQLite
OUT/trials.csv     the same as a table
OUT/best.toml      the recipe with the settings that validation prefers
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError, TrainingError
from mamdr.files import atomic_file, disk_errors
from mamdr.seeds import derive
from mamdr.training.events import Event
from mamdr.training.recipe import Recipe
from mamdr.training.search import Choice, OneOf
from mamdr.training.train import train

try:
    import optuna
except ImportError:  # the extra is not installed
    optuna = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        state: "complete", "pruned" (stopped early, being below the others at the same round) or "fail" (diverged).
        value: the best validation figure; of a pruned one, the last.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Any]


def tune(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    trials: int,
    heard: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Try settings from the recipe's `[search]` until so many trials are made, and write the best as a recipe.

    A trial trains the recipe with one choice of settings and the recipe's seed, and is worth its best round's
    validation figure. The tree-structured Parzen estimator proposes settings; a trial that is below the median of the
    others at the same round is stopped. A trial that was killed is made anew, with the same settings. Test rows are not
    read.

    Args:
        trials: in all, those of earlier calls included.
        heard: told of each trial.

    Returns: all trials.
    Raises:
        ConfigError: Optuna is not installed, nothing to search, or the study is of another recipe or other data.
        TrainingError: every trial diverged.
    """
    if optuna is None:
        raise ConfigError("Optuna is not installed", "the extra [tune]", "pip install mamdr[tune]")
    if not recipe.search:
        raise ConfigError(
            "the recipe has no [search]",
            'lines such as "strategy.outer_lr" = { low = 0.05, high = 1.0, log = true }',
            "Say what may be varied",
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    with disk_errors(out / "study.db"):
        study = _study(recipe, data, out)
    _again(study)
    while sum(trial.state.is_finished() for trial in study.trials) < trials:
        done = len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=derive(recipe.train.seed, "tune", done) % (1 << 32))
        trial = study.ask()
        _make(study, trial, recipe, data)
        heard(_told(study.trials[trial.number], recipe))
    made = [_told(trial, recipe) for trial in study.trials]
    _write(made, recipe, out)
    return made


def _study(recipe: Recipe, data: Dataset, out: Path) -> Any:
    study = optuna.create_study(
        storage=f"sqlite:///{out / 'study.db'}",
        study_name="mamdr",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
        load_if_exists=True,
    )
    about = {"recipe": _about(recipe), "data": data.fingerprint}
    known = study.user_attrs or about
    for name, what in about.items():
        if known[name] != what:
            raise ConfigError(
                f"{out} holds a search with another {name}",
                f"the {name} it was begun with",
                "Choose another --out",
            )
        study.set_user_attr(name, what)
    return study


def _about(recipe: Recipe) -> str:
    return repr(recipe.tables())


def _again(study: Any) -> None:
    """Close trials that were killed, and put their settings first in line."""
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)


def _make(study: Any, trial: Any, recipe: Recipe, data: Dataset) -> None:
    chosen = {key: _suggest(trial, key, what) for key, what in recipe.search.items()}
    try:
        run = train(with_settings(recipe, chosen), data, listeners=[_Pruner(trial, recipe.train.monitor)])
        study.tell(trial, run.info["best_value"])
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except TrainingError:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _suggest(trial: Any, key: str, what: Choice) -> Any:
    if isinstance(what, OneOf):  # by place, for a value may be a list, which the study cannot hold
        return what.values[trial.suggest_categorical(key, range(len(what.values)))]
    if what.whole:
        return trial.suggest_int(key, what.low, what.high, log=what.log)
    return trial.suggest_float(key, what.low, what.high, log=what.log)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with these values, by "table.key"."""
    tables = copy.deepcopy(recipe.tables())
    for key, value in settings.items():
        *path, last = key.split(".")
        table = tables
        for name in path:
            table = table.setdefault(name, {})
        table[last] = value
    return Recipe.parse(tables)


class _Pruner:
    """Tells a trial of each round, and stops it where it is not worth going on."""

    def __init__(self, trial: Any, monitor: str) -> None:
        self.trial, self.monitor = trial, monitor

    def hear(self, event: Event) -> None:
        if event["event"] == "round":
            self.trial.report(event["val"][self.monitor], event["round"])
            if self.trial.should_prune():
                raise optuna.TrialPruned

    def walked(self, rows: int) -> None:
        return None

    def close(self) -> None:
        return None


def _told(trial: Any, recipe: Recipe) -> Trial:
    """A trial of the study; a place among values is the value again."""
    settings = {
        key: what.values[said] if isinstance(what := recipe.search[key], OneOf) else said
        for key, said in trial.params.items()
    }
    return Trial(trial.number, trial.state.name.lower(), trial.value, settings)


def _write(trials: list[Trial], recipe: Recipe, out: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", "value", *recipe.search])
    for trial in trials:
        writer.writerow(
            [trial.number, trial.state, trial.value, *(trial.settings.get(key, "") for key in recipe.search)]
        )
    with atomic_file(out / "trials.csv") as part:
        part.write_text(text.getvalue(), encoding="utf-8")
    best = best_of(trials)
    with atomic_file(out / "best.toml") as part:
        part.write_text(tomli_w.dumps(with_settings(recipe, best.settings).tables()), encoding="utf-8")


def best_of(trials: list[Trial]) -> Trial:
    """The complete trial of the highest value, the first of several.

    Raises: TrainingError when none is complete.
    """
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if not complete:
        raise TrainingError(
            "no trial came to an end", "one at least", "Search lower rates, or make more trials"
        )
    return max(complete, key=lambda trial: (trial.value, -trial.number))
