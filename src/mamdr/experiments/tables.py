"""Cells to tables: means over seeds with intervals, RANK, lifts over a baseline with the same seed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mamdr.errors import MamdrError
from mamdr.evaluation.ranking import rank_methods
from mamdr.evaluation.spread import Spread, spread
from mamdr.experiments.design import Cell, Experiment
from mamdr.experiments.published import published
from mamdr.experiments.results import Result

Aucs = dict[str, float | None]


@dataclass(frozen=True)
class Entry:
    """A row and a column over all seeds.

    Attributes:
        test: mean AUC over domains.
        lift: of it over the baseline's with the same seed; None for the baseline and where seeds lack.
        least: the smallest such lift.
        rank: mean over seeds of RANK among the entries of its column, or of the whole table of methods.
        domains: each domain's AUC, mean over seeds.
        domain_lifts: each domain's lift, as `lift`; none for the baseline.
        val: mean validation AUC of the chosen rounds; rounds, seconds: medians (of the round chosen, of one round).
        failed: seeds whose training diverged.
        paper: what the paper prints.
    """

    row: str
    column: str
    test: Spread | None
    lift: Spread | None
    least: float | None
    rank: float | None
    domains: Aucs
    domain_lifts: dict[str, Spread]
    val: float | None
    round: float | None
    seconds: float | None
    parameters: int | None
    seeds: tuple[int, ...]
    failed: tuple[int, ...]
    finetuned: bool
    paper: float | None


@dataclass(frozen=True)
class Summary:
    """All entries of an experiment on a data set.

    Attributes:
        ranked: the methods that RANK was taken among.
        samples: test rows of each domain.
        missing: cells without a result yet.
    """

    experiment: Experiment
    data: str
    entries: tuple[Entry, ...]
    ranked: tuple[str, ...]
    samples: dict[str, int]
    missing: int

    def entry(self, row: str, column: str) -> Entry | None:
        return next((e for e in self.entries if (e.row, e.column) == (row, column)), None)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Names and labels of the rows that are there."""
        there = {entry.row for entry in self.entries}
        return [(line.name, line.label) for line in self.experiment.rows if line.name in there]

    @property
    def columns(self) -> list[tuple[str, str]]:
        there = {entry.column for entry in self.entries}
        return [(line.name, line.label) for line in self.experiment.columns if line.name in there]

    @property
    def base(self) -> str:
        """The baseline's label."""
        lines = self.experiment.columns if self.experiment.view == "grid" else self.experiment.rows
        return next(line.label for line in lines if line.name == self.experiment.baseline)

    @property
    def shown_domains(self) -> list[str]:
        """The domains that a "domains" view shows, largest first where it shows but the largest."""
        names = list(self.samples)
        if self.experiment.largest is None:
            return names
        return sorted(names, key=lambda name: -self.samples[name])[: self.experiment.largest]


def summarise(
    experiment: Experiment, cells: Sequence[Cell], results: Mapping[Cell, Result], data: str
) -> Summary:
    """Put an experiment's results together.

    Args:
        cells: all of the experiment's.
        results: of the cells that have one.
        data: the data set's name.
    """
    places = list(dict.fromkeys((cell.row, cell.column) for cell in cells))
    found = {place: {c.seed: r for c, r in results.items() if (c.row, c.column) == place} for place in places}
    ranks, ranked = _ranks(experiment, found)
    entries = tuple(
        _entry(experiment, data, place, found[place], _base(experiment, place, found), ranks.get(place))
        for place in places
        if found[place]
    )
    tested: dict[str, Any] = next((r["test"]["domains"] for r in results.values() if "test" in r), {})
    samples = {name: domain["samples"] for name, domain in tested.items()}
    return Summary(experiment, data, entries, ranked, samples, len(cells) - len(results))


Found = Mapping[tuple[str, str], Mapping[int, Result]]


def _base(experiment: Experiment, place: tuple[str, str], found: Found) -> Mapping[int, Result]:
    """The results that a place's lifts are taken over; none for the baseline itself."""
    row, column = place
    base = (row, experiment.baseline) if experiment.view == "grid" else (experiment.baseline, column)
    return {} if base == place else found.get(base, {})


def _ranks(experiment: Experiment, found: Found) -> tuple[dict[tuple[str, str], float], tuple[str, ...]]:
    """Mean over seeds of RANK among all places (of a grid: among those of a row), of seeds that every place has."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for place in found:
        groups.setdefault(place[0] if experiment.view == "grid" else "", []).append(place)
    ranks: dict[tuple[str, str], float] = {}
    names: list[str] = []
    for places in groups.values():
        seeds = set.intersection(*({s for s, r in found[p].items() if "test" in r} for p in places))
        each = [r for seed in sorted(seeds) if (r := _rank(found, places, seed))]
        if each:
            ranks |= {place: statistics.fmean(rank[place] for rank in each) for place in places}
            names += [row if experiment.view != "grid" else column for row, column in places]
    return ranks, tuple(dict.fromkeys(names))


def _rank(found: Found, places: Sequence[tuple[str, str]], seed: int) -> dict[tuple[str, str], float] | None:
    aucs = {" ".join(place): aucs_of(found[place][seed]) for place in places}
    try:
        ranking = rank_methods(aucs)
    except MamdrError:  # no domain has an AUC for all
        return None
    return {place: ranking.ranks[" ".join(place)] for place in places}


def aucs_of(result: Result) -> Aucs:
    """Each domain's test AUC."""
    return {name: domain["auc"] for name, domain in result["test"]["domains"].items()}


def _entry(
    experiment: Experiment,
    data: str,
    place: tuple[str, str],
    by_seed: Mapping[int, Result],
    base: Mapping[int, Result],
    rank: float | None,
) -> Entry:
    good = {
        seed: r for seed, r in sorted(by_seed.items()) if "test" in r and r["test"]["mean_auc"] is not None
    }
    lifts = [
        r["test"]["mean_auc"] - base[s]["test"]["mean_auc"]
        for s, r in good.items()
        if "test" in base.get(s, {})
    ]
    names = aucs_of(next(iter(good.values()))) if good else {}
    first: dict[str, Any] = next(iter(good.values()), {})
    return Entry(
        *place,
        test=spread([r["test"]["mean_auc"] for r in good.values()]),
        lift=spread(lifts),
        least=min(lifts, default=None),
        rank=rank,
        domains={name: _mean([aucs_of(r)[name] for r in good.values()]) for name in names},
        domain_lifts={name: lift for name in names if (lift := spread(_lifts(name, good, base)))},
        val=_mean([r["val"] for r in good.values()]),
        round=_median([r["round"] for r in good.values()]),
        seconds=_median([r["seconds_a_round"] for r in good.values()]),
        parameters=first.get("parameters"),
        seeds=tuple(good),
        failed=tuple(seed for seed in by_seed if seed not in good),
        finetuned=bool(first.get("finetuned")),
        paper=published(experiment.name, data, *place),
    )


def _lifts(domain: str, good: Mapping[int, Result], base: Mapping[int, Result]) -> list[float]:
    """A domain's lifts, of the seeds that both have an AUC for."""
    pairs = [
        (aucs_of(r)[domain], aucs_of(base[s])[domain]) for s, r in good.items() if "test" in base.get(s, {})
    ]
    return [auc - below for auc, below in pairs if auc is not None and below is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
