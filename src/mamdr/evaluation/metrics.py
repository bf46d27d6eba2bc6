"""How well predictions rank and fit, per domain and over domains: AUC, log loss, calibration.

Plain arrays in, numbers out; nothing here knows a model, a split or a file. What cannot be computed (a domain
of one class has no AUC, a domain without rows has nothing) is None, null in JSON, and counted in no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mamdr.errors import MamdrError
from mamdr.evaluation.auc import Floats, Ints, checked_groups, checked_labels, checked_scores, grouped_auc

EPSILON = 2.0**-23
"""Probabilities are kept in [EPSILON, 1 - EPSILON] for the log loss: what float32 tells from 0 and from 1
alike, so a row's loss is at most 15.9."""


@dataclass(frozen=True, slots=True)
class DomainMetrics:
    """One domain's figures; None where they cannot be computed.

    Attributes:
        auc: in [0, 1]; None without a positive or without a negative.
        log_loss: mean over the rows, in nats; None without rows.
        calibration: mean probability / share of positives, 1 is best; None without positives.
        samples, positives: rows, and rows with label 1.
    """

    name: str
    auc: float | None
    log_loss: float | None
    calibration: float | None
    samples: int
    positives: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of one set of predictions, over domains and for each domain.

    Attributes:
        mean_auc: mean over the domains that have an AUC, each counting once (the paper's figure).
        weighted_auc: the same, each domain counting by its samples.
        pooled_auc: of all rows as one list; also compares scores across domains.
        log_loss, calibration: of all rows.
        domains: in the order of the names given.
        user_gauc: mean over users of their AUC, weighted by their samples, users of one class left out; None
            when users were not given.
    """

    mean_auc: float | None
    weighted_auc: float | None
    pooled_auc: float | None
    log_loss: float | None
    calibration: float | None
    domains: tuple[DomainMetrics, ...]
    user_gauc: float | None = None

    @property
    def aucs(self) -> dict[str, float | None]:
        """Domain name -> AUC or None."""
        return {domain.name: domain.auc for domain in self.domains}

    def extremes(self, count: int) -> tuple[tuple[DomainMetrics, ...], tuple[DomainMetrics, ...]]:
        """The domains of the lowest AUC, lowest first, and of the highest, highest first: `count` of each at most, none
        in both, and none without an AUC; of equal ones the first."""
        known = [(domain.auc, place) for place, domain in enumerate(self.domains) if domain.auc is not None]
        count = min(count, len(known) // 2)
        lowest, highest = sorted(known), sorted(known, key=lambda one: (-one[0], one[1]))
        worst = [place for _, place in lowest[:count]]
        best = [place for _, place in highest if place not in set(worst)][:count]
        return tuple(self.domains[p] for p in worst), tuple(self.domains[p] for p in best)

    def to_json(self, most: int | None = None) -> dict[str, Any]:
        """A dict that JSON can hold: every figure under its name, `domains` by name, None for what is n/a.

        Args:
            most: where there are more domains, only so many, those of the lowest and of the highest AUC, and under
                `left_out` how many are not told.
        """
        whole = {key: getattr(self, key) for key in self.__slots__ if key != "domains"}
        told = self.domains
        if most is not None and len(told) > most:
            worst, best = self.extremes(most // 2)
            told = (*worst, *best[::-1])
            whole["left_out"] = len(self.domains) - len(told)
        rows = (asdict(domain) for domain in told)
        return {**whole, "domains": {row.pop("name"): row for row in rows}}


def evaluate(
    names: Sequence[str],
    domains: ArrayLike,
    labels: ArrayLike,
    probabilities: ArrayLike,
    users: ArrayLike | None = None,
) -> Metrics:
    """All figures of one set of predictions.

    Args:
        names: names of the D domains; the position is the domain's id.
        domains: each row's domain id [N], or, for rows stored domain by domain, the D + 1 offsets where these
            begin and end. The two cannot be confused: offsets end with N, no domain's id when N = D + 1.
        labels: [N], 0 or 1.
        probabilities: [N] in [0, 1].
        users: [N], integers >= 0, for the user-GAUC.

    Raises: MamdrError for probabilities that are not finite or not in [0, 1], labels other than 0/1, domains
        out of range, arrays that do not fit together.
    Cost: one sort of N keys for the domains, one for the pooled AUC, one more with users.

    >>> result = evaluate(["a", "b"], [0, 0, 1], [1, 0, 1], [0.8, 0.3, 0.5])
    >>> result.mean_auc, result.aucs
    (1.0, {'a': 1.0, 'b': None})
    """
    scores = _checked_probabilities(probabilities)
    ids = domain_ids(domains, len(scores), len(names))
    positive = checked_labels(labels, len(scores))
    losses = row_losses(positive, scores)
    aucs = grouped_auc(scores, positive, ids, len(names))
    samples = np.bincount(ids, minlength=len(names))
    known = ~np.isnan(aucs)
    return Metrics(
        mean_auc=_mean(aucs[known]),
        weighted_auc=_mean(aucs[known], samples[known]),
        pooled_auc=_number(grouped_auc(scores, positive, np.zeros(len(scores), np.int64), 1)[0]),
        log_loss=_mean(losses),
        calibration=_ratio(scores.sum(dtype=np.float64), int(positive.sum())),
        domains=_domain_rows(names, ids, positive, scores, losses, aucs),
        user_gauc=None if users is None else user_gauc(scores, positive, users),
    )


def row_losses(labels: ArrayLike, probabilities: ArrayLike) -> Floats:
    """-ln p where the label is 1, -ln(1 - p) where it is 0, p kept in [EPSILON, 1 - EPSILON]; [N], nats."""
    positive = np.asarray(labels) == 1
    p = np.clip(np.asarray(probabilities, np.float64), EPSILON, 1 - EPSILON)
    return -np.log(np.where(positive, p, 1 - p))


def user_gauc(scores: ArrayLike, labels: ArrayLike, users: ArrayLike) -> float | None:
    """Mean of the users' AUCs weighted by their samples, users of one class left out; None when none is left.

    >>> user_gauc([0.2, 0.7, 0.9, 0.1], [0, 1, 1, 1], [5, 5, 5, 8])
    1.0
    """
    ids = np.asarray(users)
    if ids.size and np.issubdtype(ids.dtype, np.integer) and (ids.min() < 0 or ids.max() >= 4 * ids.size):
        ids = np.unique(ids, return_inverse=True)[1]
    count = int(ids.max()) + 1 if ids.size else 0
    aucs = grouped_auc(scores, labels, ids, count)
    known = ~np.isnan(aucs)
    return _mean(aucs[known], np.bincount(ids, minlength=count)[known]) if count else None


def domain_ids(domains: ArrayLike, rows: int, num_domains: int) -> Ints:
    """Each row's domain id [N], from ids [N] or from offsets [D + 1] that end with N."""
    array = np.asarray(domains)
    if array.shape == (num_domains + 1,) and array[-1] == rows:
        sizes = np.diff(array)
        if array[0] != 0 or (sizes < 0).any():
            raise MamdrError(
                "offsets that start after 0 or go down",
                "rising offsets from 0",
                "Pass DomainData.offsets as they are",
            )
        return np.repeat(np.arange(num_domains, dtype=np.int64), sizes)
    return checked_groups(array, rows, num_domains)


def _checked_probabilities(probabilities: ArrayLike) -> NDArray[Any]:
    scores = checked_scores(probabilities)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise MamdrError(
            f"probabilities in [{scores.min():.4g}, {scores.max():.4g}]",
            "probabilities in [0, 1]",
            "Apply the logistic function to logits first",
        )
    return scores


def _domain_rows(
    names: Sequence[str],
    ids: Ints,
    positive: NDArray[np.bool_],
    scores: NDArray[Any],
    losses: Floats,
    aucs: Floats,
) -> tuple[DomainMetrics, ...]:
    count = len(names)
    samples = np.bincount(ids, minlength=count)
    positives = np.bincount(ids[positive], minlength=count)
    total_loss = np.bincount(ids, weights=losses, minlength=count)
    predicted = np.bincount(ids, weights=scores, minlength=count)
    columns = (column.tolist() for column in (aucs, total_loss, predicted, samples, positives))
    return tuple(
        DomainMetrics(name, _number(auc), _ratio(loss, rows), _ratio(sum_p, pos), rows, pos)
        for name, auc, loss, sum_p, rows, pos in zip(names, *columns, strict=True)
    )


def _mean(values: Floats, weights: Ints | None = None) -> float | None:
    return float(np.average(values, weights=weights)) if values.size else None


def _ratio(numerator: float, denominator: int) -> float | None:
    return float(numerator / denominator) if denominator else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
