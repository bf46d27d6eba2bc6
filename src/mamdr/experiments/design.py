"""A grid of recipes. Each cell is a recipe with a seed, and is known by what it trains, not by where it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mamdr.config import nearest
from mamdr.errors import ConfigError
from mamdr.models import MODELS
from mamdr.strategies.registry import STRATEGIES
from mamdr.training.recipe import Recipe, override

Tables = Mapping[str, Mapping[str, Any]]
"""A recipe's tables, or some of them."""

BASE: Tables = {"walk": {"embedding_l2": 1e-5}}
"""What every cell has beside the defaults, which are the paper's sizes (section V-C) already."""

_PLACE = ("seed", "jobs", "device", "engine", "engine_mb")
"""[train] settings that do not change what a cell is."""


@dataclass(frozen=True)
class Line:
    """A row or a column.

    Args:
        name: what `--rows` and `--columns` call it.
        label: what the table calls it.
        tables: what it sets in a recipe.
        extra: whether it stands beside the paper's, and is left out unless it is asked for.
    """

    name: str
    label: str
    tables: Tables
    extra: bool = False


@dataclass(frozen=True)
class Experiment:
    """A grid: every row with every column.

    Args:
        name: what the command calls it.
        title: what it compares, in a line.
        rows, columns: the lines.
        view: "methods" shows a line a row with AUC and RANK, "domains" each domain's AUC, "grid" rows by columns.
        baseline: name of the row (of the column, in a grid) that lifts are taken over.
        largest: of a "domains" view, how many of the largest domains it shows; None is all.
    """

    name: str
    title: str
    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    view: Literal["methods", "domains", "grid"]
    baseline: str
    largest: int | None = None


@dataclass(frozen=True)
class Cell:
    """One training: a row, a column and a seed.

    Attributes:
        recipe: what it trains, seed included.
        key: its file name: model, strategy, a hash of every setting but the seed, and the seed. Cells of two
            experiments that train the same thing have the same key, and are trained once.
    """

    row: str
    column: str
    seed: int
    recipe: Recipe = field(compare=False)
    key: str

    @property
    def one_round(self) -> Cell | None:
        """The cell that serves all domains by one round of this very training, where this one chooses by domain."""
        train = self.recipe.train
        if train.choose != "domain" or (
            train.shares and not train.shrink
        ):  # there shares are chosen otherwise
            return None
        recipe = replace(self.recipe, train=replace(train, choose="run", mean_within=0.0, snapshots=1))
        return replace(self, recipe=recipe, key=_key(recipe))


def cells(
    experiment: Experiment,
    seeds: int | Iterable[int],
    overrides: Iterable[str] = (),
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> list[Cell]:
    """The cells, seed by seed, so that an experiment that is stopped early has whole tables of the first seeds.

    Args:
        seeds: 1 to so many; or which.
        overrides: `table.key=value` for every cell, or `NAME:table.key=value` for those of this model, strategy, row or
            column. What a line itself says (the settings of the safe MAMDR, what a figure varies) counts over the
            former and not over the latter.
        rows, columns: names of the lines to keep; "all" keeps every one; none keeps the paper's.

    Raises:
        ConfigError: an unknown line, an override for a name that nothing has, or a setting that a cell's recipe does
            not take.
    """
    overrides = list(overrides)
    _check_names(experiment, overrides)
    lines = [
        (row, column)
        for row in _chosen(experiment.rows, rows, f"row of {experiment.name}")
        for column in _chosen(experiment.columns, columns, f"column of {experiment.name}")
    ]
    return [
        _cell(row, column, seed, overrides)
        for seed in (range(1, max(seeds, 1) + 1) if isinstance(seeds, int) else seeds)
        for row, column in lines
    ]


def _chosen(lines: tuple[Line, ...], wanted: Sequence[str], what: str) -> list[Line]:
    if "all" in wanted:
        return list(lines)
    if not wanted:
        return [line for line in lines if not line.extra]
    names = [line.name for line in lines]
    for name in wanted:
        if name not in names:
            raise ConfigError(f"no {what} is named {name!r}", ", ".join(names), nearest(name, names))
    return [line for line in lines if line.name in wanted]


def _check_names(experiment: Experiment, overrides: Iterable[str]) -> None:
    """Raise ConfigError for an override that is for nobody, whichever lines are kept."""
    lines = (*experiment.rows, *experiment.columns)
    known = {*MODELS, *STRATEGIES}.union(*({line.name, *_names(line)} for line in lines)) - {""}
    for text in overrides:
        name = _name_in(text)
        if name is not None and name not in known:
            raise ConfigError(
                f"the setting {text} for {name!r}, which is nothing in {experiment.name}",
                "the name of a model, a strategy, a row or a column",
                nearest(name, known),
            )


def _names(line: Line) -> list[str]:
    """Of the model, strategy and whatever else has a name in a line's tables."""
    return [content["name"] for content in line.tables.values() if "name" in content]


def _name_in(text: str) -> str | None:
    """Whom an override is for; None where it is for every cell."""
    name, colon, _ = text.partition(":")
    return name if colon and "=" not in name else None


def _cell(row: Line, column: Line, seed: int, overrides: Sequence[str]) -> Cell:
    names = {row.name, column.name, *_names(row), *_names(column)}
    values: dict[str, Any] = {table: dict(content) for table, content in BASE.items()}
    mine: list[str] = []
    for text in overrides:
        name = _name_in(text)
        if name is None:
            override(values, text)
        elif name in names:
            mine.append(text[len(name) + 1 :])
            override(values, mine[-1])
    said: set[str] = set()
    for line in (row, column):  # what the grid varies counts, whatever is set for every cell
        for table, content in line.tables.items():
            values[table] = {**values.get(table, {}), **deepcopy(dict(content))}
            said |= {f"{table}.{key}" for key in content if key != "name"}
    for setting in mine:  # but not over what is set for this line by name
        path = [key.strip() for key in setting.partition("=")[0].split(".")]
        if ".".join(path[:2]) in said:
            override(values, setting)
    values.setdefault("train", {})["seed"] = seed
    recipe = Recipe.parse(values)
    return Cell(row.name, column.name, seed, recipe, _key(recipe))


def _key(recipe: Recipe) -> str:
    tables = recipe.tables()
    names = f"{tables['model']['name']}-{tables['strategy']['name']}"
    return f"{names}-{_digest(recipe)}-seed{recipe.train.seed}"


def _digest(recipe: Recipe) -> str:
    """A hash of all that a recipe says but its seed and the place where it is trained."""
    tables = recipe.tables()
    tables["train"] = {name: value for name, value in tables["train"].items() if name not in _PLACE}
    text = json.dumps(tables, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
