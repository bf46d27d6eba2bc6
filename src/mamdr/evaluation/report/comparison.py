"""Runs of one data set side by side: their rank among each other and their lift against one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mamdr.errors import ConfigError
from mamdr.evaluation.bootstrap import Interval, paired_bootstrap
from mamdr.evaluation.ranking import rank_methods
from mamdr.evaluation.report.summary import Floats, Progress, RunSummary, quiet

REPLICATES = 1000
_FEWEST = 100
_ROW_DRAWS = 1_500_000_000  # rows x replicates of one comparison: well under a minute
_DOMAIN_DRAWS = 30_000_000  # domains x replicates: 120 MB


@dataclass(frozen=True, eq=False)
class RunLift:
    """AUC of a run minus AUC of the baseline: the mean over domains, and each domain [D] or NaN.

    A domain with one positive and one negative has an estimate and no interval: there is no row to draw in place of
    another.
    """

    mean: Interval | None
    estimate: Floats
    low: Floats
    high: Floats

    @property
    def verdicts(self) -> NDArray[np.int64]:
        """1 where a domain gains, -1 where it loses, else 0 [D]."""
        return (self.low > 0).astype(np.int64) - (self.high < 0)

    @property
    def known(self) -> int:
        """Domains that have an interval."""
        return int((~np.isnan(self.low)).sum())

    @property
    def gain(self) -> int:
        """Domains that gain: the whole interval is above zero."""
        return int((self.verdicts == 1).sum())

    @property
    def lose(self) -> int:
        """Domains that lose: the whole interval is below zero."""
        return int((self.verdicts == -1).sum())

    def of(self, domain: int) -> tuple[float, float, float]:
        """A domain's lift and the ends of its interval."""
        return float(self.estimate[domain]), float(self.low[domain]), float(self.high[domain])

    def losers(self, most: int) -> list[int]:
        """Ids of the domains that lose, the lowest lift first, so many at most."""
        ids = np.flatnonzero(self.verdicts == -1)
        found: list[int] = ids[np.argsort(self.estimate[ids], kind="stable")][:most].tolist()
        return found


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything the page shows, computed.

    Attributes:
        runs: the baseline first, the others as they were named.
        ranks: each run's mean rank among them; None for a single run, or without a domain that has all AUCs.
        lifts: of each run but the baseline.
        replicates: bootstrap draws behind each interval.
    """

    runs: tuple[RunSummary, ...]
    ranks: dict[str, float] | None
    lifts: dict[str, RunLift]
    replicates: int

    @property
    def baseline(self) -> RunSummary:
        """The run that the others are compared with."""
        return self.runs[0]

    @property
    def challengers(self) -> tuple[tuple[int, RunSummary, RunLift], ...]:
        """The other runs, each with its number on the page and its lift."""
        return tuple((i, run, self.lifts[run.name]) for i, run in enumerate(self.runs) if i)

    @property
    def leader(self) -> tuple[int, RunSummary, RunLift]:
        """The challenger with the highest mean AUC."""
        return max(self.challengers, key=lambda challenger: challenger[1].metrics.mean_auc or 0.0)

    @property
    def samples(self) -> NDArray[np.int64]:
        """Rows of each domain [D]."""
        offsets = np.asarray(self.baseline.offsets, np.int64)
        return offsets[1:] - offsets[:-1]


def compare(
    runs: Sequence[RunSummary], baseline: str | None = None, seed: int = 0, progress: Progress = quiet
) -> Comparison:
    """Rank runs among each other and bootstrap their lift against the baseline.

    Args:
        runs: one or more, of the same data and split, with different names.
        baseline: a run's name; by default the first run trained by Alternate, else the first run.
        seed: of the bootstrap.

    Raises: ConfigError for no runs, equal names, an unknown baseline, runs on different data or splits.
    Cost: 1000 bootstrap draws over all rows for each run but the baseline, fewer on large data.
    """
    check_comparable(runs)
    first = _baseline(runs, baseline)
    ordered = (first, *(run for run in runs if run is not first))
    replicates = _replicates(len(first.labels), len(first.domains))
    lifts = {}
    for done, run in enumerate(ordered[1:]):
        progress(f"Comparing {run.name} with {first.name}", done, len(ordered) - 1)
        lifts[run.name] = _lift(run, first, seed, replicates)
    return Comparison(ordered, _ranks(ordered), lifts, replicates)


def check_comparable(runs: Sequence[RunSummary]) -> None:
    """Raise a ConfigError that names two runs which no table should hold together."""
    if not runs:
        raise ConfigError("no runs", "one run at least", "Name the folder of a run")
    first = runs[0]
    for i, run in enumerate(runs[1:], 1):
        if any(run.name == other.name for other in runs[:i]):
            raise ConfigError(f"two runs named '{run.name}'", "a name for each run", "Name each folder once")
        if run.split != first.split:
            raise ConfigError(
                f"'{first.name}' predicts the {first.split} split and '{run.name}' the {run.split} split",
                "runs evaluated on the same split",
                "Choose one with --split",
            )
        if not _same_data(first, run):
            raise different_data(*((r.name, r.data, r.fingerprint) for r in (first, run)))


def different_data(first: tuple[str, str, str], second: tuple[str, str, str]) -> ConfigError:
    """The error for two runs, each given as its name, its data set's name and its fingerprint."""
    seen = [
        f"'{name}' was trained on '{data}' ({fingerprint[:12]})"
        for name, data, fingerprint in (first, second)
    ]
    return ConfigError(
        f"run {seen[0]} and run {seen[1]}",
        "runs on the same data, so that a domain's AUCs are taken on the same rows",
        "Write one report for each data set",
    )


def _same_data(a: RunSummary, b: RunSummary) -> bool:
    return (
        a.fingerprint == b.fingerprint
        and a.domains == b.domains
        and np.array_equal(a.offsets, b.offsets)
        and np.array_equal(a.labels, b.labels)
    )


def _baseline(runs: Sequence[RunSummary], name: str | None) -> RunSummary:
    if name is None:
        return next((run for run in runs if run.strategy.lower() == "alternate"), runs[0])
    for run in runs:
        if run.name == name:
            return run
    names = ", ".join(f"'{run.name}'" for run in runs)
    raise ConfigError(
        f"no run is named '{name}'", f"a baseline among {names}", "Correct the name or leave it out"
    )


def _replicates(rows: int, domains: int) -> int:
    affordable = min(_ROW_DRAWS // max(rows, 1), _DOMAIN_DRAWS // max(domains, 1))
    return max(_FEWEST, min(REPLICATES, affordable // 100 * 100))


def _lift(run: RunSummary, baseline: RunSummary, seed: int, replicates: int) -> RunLift:
    result = paired_bootstrap(
        run.domains,
        run.offsets,
        run.labels,
        run.probabilities,
        baseline.probabilities,
        seed=seed,
        replicates=replicates,
    )
    nan = (np.nan, np.nan, np.nan)
    intervals = (result.domains[name] for name in run.domains)
    rows = [nan if i is None else (i.estimate, i.low, i.high) for i in intervals]
    estimate, low, high = np.array(rows, np.float64).reshape(-1, 3).T
    two_rows = np.diff(np.asarray(run.offsets)) == 2  # with an AUC: one of each class
    low[two_rows] = high[two_rows] = np.nan
    return RunLift(result.mean, estimate, low, high)


def _ranks(runs: Sequence[RunSummary]) -> dict[str, float] | None:
    if len(runs) < 2 or np.isnan([run.aucs for run in runs]).any(axis=0).all():
        return None
    return rank_methods({run.name: run.metrics.aucs for run in runs}).ranks
