"""RANK, the paper's second figure: a method's place among others in each domain, averaged over domains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mamdr.errors import MamdrError


@dataclass(frozen=True)
class Ranking:
    """Mean ranks, which mean something only together with the methods they were taken among.

    Attributes:
        methods: the names of all methods compared, in the order given.
        ranks: method -> mean rank in [1, M] for M methods, 1 is best; their mean is (M + 1) / 2.
        domains: the domains that were counted.
        left_out: the domains where some method has no AUC.
    """

    methods: tuple[str, ...]
    ranks: dict[str, float]
    domains: tuple[str, ...]
    left_out: tuple[str, ...]


def rank_methods(aucs: Mapping[str, Mapping[str, float | None]]) -> Ranking:
    """Rank methods by AUC in each domain (1 is the highest, equal AUCs share their mean rank), then average.

        RANK(m) = mean over d of ( 1 + #{n: AUC(n, d) > AUC(m, d)} + (#{n: AUC(n, d) = AUC(m, d)} - 1) / 2 )

    Args:
        aucs: method -> domain name -> AUC, or None (or NaN) where there is none; the same domains for every
            method. `Metrics.aucs` has this shape.

    Raises: MamdrError when there is no method, the methods' domains differ, or no domain has an AUC for all.
    Reference: MAMDR, section V-C, Tables V and VI: there the methods are twelve, Table V's ten and Table VI's
        two ablations, which is why the printed ranks average 6.5.

    >>> rank_methods({"mlp": {"a": 0.7, "b": 0.6}, "star": {"a": 0.8, "b": 0.6}}).ranks
    {'mlp': 1.75, 'star': 1.25}
    """
    methods = tuple(aucs)
    if not methods:
        raise MamdrError("no method to rank", "the AUCs of one method at least", "Name the runs to compare")
    names = tuple(aucs[methods[0]])
    for method in methods[1:]:
        if set(aucs[method]) != set(names):
            raise MamdrError(
                f"'{method}' and '{methods[0]}' have different domains",
                "runs on the same domains",
                "Evaluate all methods on one data folder",
            )
    complete = [name for name in names if all(_known(aucs[method][name]) for method in methods)]
    if not complete:
        raise MamdrError(
            f"none of {len(names)} domains has an AUC for all of {len(methods)} methods",
            "one domain at least with both classes",
            "Use a larger test split",
        )
    table = np.array([[aucs[method][name] for name in complete] for method in methods], np.float64)
    means = _ranks(table).mean(axis=1).tolist()
    counted = set(complete)
    left_out = tuple(name for name in names if name not in counted)
    return Ranking(methods, dict(zip(methods, means, strict=True)), tuple(complete), left_out)


def _known(auc: float | None) -> bool:
    return auc is not None and not math.isnan(auc)


def _ranks(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks [M, D] of AUCs [M, D], column by column; ties share the mean of their places."""
    above = (table[None, :, :] > table[:, None, :]).sum(axis=1)
    equal = (table[None, :, :] == table[:, None, :]).sum(axis=1)
    ranks: NDArray[np.float64] = above + (equal + 1) / 2
    return ranks
