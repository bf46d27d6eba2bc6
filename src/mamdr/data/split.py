"""Which rows train, which choose when to stop, and which are only looked at in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mamdr.seeds import generator

TRAIN, VAL, TEST = 0, 1, 2


def counts(rows: int) -> tuple[int, int, int]:
    """60 / 20 / 20 of some rows: train and val rounded to the nearest (halves up), test is the rest.

    A single row goes to train.

    >>> [counts(rows) for rows in (0, 1, 2, 3, 10)]
    [(0, 0, 0), (1, 0, 0), (1, 0, 1), (2, 1, 0), (6, 2, 2)]
    """
    train, val = (6 * rows + 5) // 10, (2 * rows + 5) // 10
    return train, val, rows - train - val


def assign(
    domains: npt.NDArray[np.integer], labels: npt.NDArray[np.integer], names: Sequence[str], seed: int
) -> npt.NDArray[np.int8]:
    """The split of each row: 0 train, 1 val, 2 test.

    In each domain positives and negatives are divided at random, apart, so that every split has the domain's
    CTR ratio, as far as whole rows can. A domain with a row has a row in train. The draws depend on (seed,
    domain's name, label), so that another domain changes nothing.
    Differs from the authors' code, which divides negatives within each user (rounding then gives 53/22/25).

    Args:
        domains: int [N], each row's domain, as a position in names.
        labels: int [N], 0 or 1.
    """
    split = np.empty(len(domains), dtype=np.int8)
    group = domains.astype(np.int64) * 2 + labels
    order = np.argsort(group, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=2 * len(names)))])
    for number in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[number] : bounds[number + 1]]
        source = generator(seed, "split", names[int(number) // 2], int(number) % 2)
        split[source.permutation(rows)] = np.repeat((TRAIN, VAL, TEST), counts(len(rows)))
    return split
