"""What becomes of the rows of some domains: numbers, negatives, split; and what is known once all of them are seen.

Everything about a domain is drawn from (seed, its name, its rows), so a table may be taken whole or some domains at a
time, and comes out the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mamdr.data import negatives, split
from mamdr.data.coding import (
    Ints,
    Rows,
    Values,
    coded,
    distinct_codes,
    encoded,
    fitted,
    known_marks,
    mark,
    numbers,
    scale_of,
    standardised,
    sums,
)
from mamdr.data.interactions import distinct
from mamdr.data.ragged import Ragged, joined
from mamdr.data.vectors import Vectors
from mamdr.data.vocabulary import Vocabulary
from mamdr.errors import DataError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What all portions of a table have in common.

    Args:
        names: of all domains, in order.
        by_group: the categorical columns by whose ids they have (`coding.groups`).
        values: all values of each group, sorted.
        ratios: positives per negative of each domain; None for a table with labels.
        seed, authors: as `build` takes them.
        normalise: whether numbers are brought to mean 0 and deviation 1.
    """

    names: Sequence[str]
    by_group: Mapping[str, Sequence[str]]
    values: Values
    ratios: Sequence[float] | None
    seed: int
    authors: bool = False
    normalise: bool = True

    def distinct(self, table: pl.DataFrame) -> pl.DataFrame:
        """A table without its duplicates."""
        return distinct(table, ("rating",) if self.authors else ())


@dataclass
class Portion:
    """The rows of some domains that follow each other.

    Args:
        rows: coded, with "label", and "domain" counted from the first domain of the portion.
        parts: each row's split.
        facts: as in `Dataset`, of these domains.
        numeric: the numeric columns.
        domains: how many.
    """

    rows: Rows
    parts: npt.NDArray[np.int8]
    facts: dict[str, list[Any]]
    numeric: list[str]
    domains: int

    @property
    def train(self) -> npt.NDArray[np.bool_]:
        train: npt.NDArray[np.bool_] = self.parts == split.TRAIN
        return train


def portion(
    plan: Plan, table: pl.DataFrame, first: int, last: int, progress: Progress | None = None
) -> Portion:
    """The rows of domains `first` to `last - 1`, which are all that the table holds."""
    names = plan.names[first:last]
    kept = plan.distinct(table)
    rows = coded(kept, plan.by_group, plan.values)
    rows["domain"] = _places(kept, names)
    if "label" in kept.columns:
        rows["label"] = kept["label"].to_numpy()
    facts = _facts(rows, len(names), _count(table, names) - _count(kept, names))
    if plan.ratios is not None:
        facts["ctr_ratio"] = list(plan.ratios[first:last])
        rows = _with_negatives(rows, plan, names, facts["ctr_ratio"], progress)
    if plan.authors:
        parts = split.assign_as_authors(rows["domain"], rows["label"], rows["user_id"], names, plan.seed)
    else:
        parts = split.assign(rows["domain"], rows["label"], names, plan.seed)
    return Portion(rows, parts, facts, numbers(kept), len(names))


@dataclass
class Known:
    """What is known of a table once all its portions were seen: vocabularies, scales, facts.

    `see` every portion; where there are numbers to bring to scale, then `look_again` at every one; then `finished`.
    """

    plan: Plan
    vectors: Mapping[str, Vectors]
    facts: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._held = known_marks(self.plan.values, self.vectors)
        self._owners = {
            f"{owner}s": np.zeros(len(self.plan.values[self._group(f"{owner}_id")]), dtype=bool)
            for owner in ("user", "item")
        }
        self._sums: dict[str, list[float]] = {}
        self._squares: dict[str, list[float]] = {}
        self._rows = 0

    def see(self, part: Portion) -> None:
        """Take in a portion's values, facts and sums."""
        mark(self._held, part.rows, self.plan.by_group, part.train)
        for owner, seen in self._owners.items():
            seen[part.rows[f"{owner[:-1]}_id"]] = True
        for fact, told in part.facts.items():
            self.facts.setdefault(fact, []).extend(told)
        self._rows += int(part.train.sum())
        self._add(self._sums, part, 1)

    def look_again(self, part: Portion) -> None:
        """Take in how far a portion's numbers lie from their means."""
        self._add(self._squares, part, 2)

    def _add(self, to: dict[str, list[float]], part: Portion, power: int) -> None:
        for name in part.numeric if self.plan.normalise else ():
            mean = 0.0 if power == 1 else self._mean(name)
            own = sums(part.rows[name], mean, power, part.rows["domain"], part.train, part.domains)
            to.setdefault(name, []).extend(own.tolist())

    def _mean(self, name: str) -> float:
        return math.fsum(self._sums[name]) / self._rows if self._rows else 0.0

    def _group(self, name: str) -> str:
        return next(group for group, members in self.plan.by_group.items() if name in members)

    @property
    def totals(self) -> dict[str, int]:
        """Distinct users and items."""
        return {owner: int(seen.sum()) for owner, seen in self._owners.items()}

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """What is taken out of each numeric column."""
        return {
            name: scale_of(self._mean(name), squares, self._rows) for name, squares in self._squares.items()
        }

    def vocabularies(self) -> tuple[dict[str, Vocabulary], dict[str, Ints]]:
        """By group: the vocabulary, and the id of each value."""
        return fitted(self.plan.values, self._held)

    def finished(self, part: Portion, ids: Mapping[str, Ints]) -> Rows:
        """A portion's rows with ids, and numbers at scale."""
        rows, scales = encoded(part.rows, self.plan.by_group, ids), self.scales
        return rows | {name: standardised(rows[name], scale) for name, scale in scales.items()}


def _places(table: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Each row's domain by its number."""
    places = pl.DataFrame({"domain": names, "place": np.arange(len(names))})
    joined = table.select("domain").join(places, on="domain", how="left", maintain_order="left")
    found: npt.NDArray[np.int64] = joined["place"].to_numpy().astype(np.int64)
    return found


def _count(table: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Rows of each domain."""
    lengths = dict(table["domain"].value_counts().iter_rows())
    return np.array([lengths.get(name, 0) for name in names], dtype=np.int64)


def _facts(rows: Rows, domains: int, duplicates: npt.NDArray[np.int64]) -> dict[str, list[Any]]:
    facts: dict[str, list[Any]] = {}
    for fact, column in (("users", "user_id"), ("items", "item_id")):
        width = int(rows[column].max(initial=0)) + 1
        pairs = distinct_codes(rows["domain"] * width + rows[column])
        facts[fact] = np.bincount(pairs // width, minlength=domains).tolist()
    return facts | {"duplicates": duplicates.tolist()}


def _with_negatives(
    rows: Rows, plan: Plan, names: Sequence[str], ratios: Sequence[float], progress: Progress | None
) -> Rows:
    """Positives and drawn negatives, with labels, and with the features of the negatives' users and items."""
    order = np.argsort(rows["domain"], kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows["domain"], minlength=len(names)))])
    drawn = []
    for number, domain in enumerate(names):
        if progress:
            progress(f"drawing negatives for {domain}", number, len(names))
        own = order[bounds[number] : bounds[number + 1]]
        users, items = rows["user_id"][own], rows["item_id"][own]
        drawn.append(negatives.draw(users, items, ratios[number], plan.seed, domain))
    extra: Rows = {
        "user_id": np.concatenate([users for users, _ in drawn]),
        "item_id": np.concatenate([items for _, items in drawn]),
        "domain": np.repeat(np.arange(len(names)), [len(users) for users, _ in drawn]),
    }
    for column in [name for name in rows if name not in extra]:
        owner = f"{column.split(':')[0]}_id"
        extra[column] = rows[column][_row_of(column, rows, plan.values)[extra[owner]]]
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [len(order), len(extra["domain"])])
    return {column: joined([rows[column], extra[column]]) for column in rows} | {"label": labels}


def _row_of(column: str, rows: Rows, values: Values) -> npt.NDArray[np.int64]:
    """For each of a feature's owners a row that has its value, so that drawn rows can be given it."""
    owner = column.split(":")[0]
    if owner == "context":
        raise DataError(
            f"column {column!r} describes the context, and the table has no labels",
            "labels, for a drawn negative has no context",
            "Add a label column with negatives, or leave the column out",
        )
    key, cells = rows[f"{owner}_id"], rows[column]
    row = np.zeros(int(key.max(initial=-1)) + 1, dtype=np.int64)
    row[key] = np.arange(len(key))
    given = cells[row[key]]
    differs = cells.differs(given) if isinstance(cells, Ragged) else cells != given
    if differs.any():
        name = values[f"{owner}_id"][int(key[differs.argmax()])]
        raise DataError(
            f"column {column!r} has several values for {owner} {name!r}",
            f"one value for each {owner}, for drawn negatives take theirs from it",
            "Keep one value, or add a label column with negatives",
        )
    return row
