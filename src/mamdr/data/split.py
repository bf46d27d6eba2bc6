"""Which rows train, which choose when to stop, and which are only looked at in the end."""

from __future__ import annotations

import math
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


def authors_counts(rows: int) -> tuple[int, int, int]:
    """How the authors' code divides some rows: scikit-learn's `train_test_split` twice, which rounds test parts up.

    Few rows make a large share of test: this is why the paper's Table I has 53 / 22 / 25.

    >>> [authors_counts(rows) for rows in (1, 2, 3, 4, 5, 10)]
    [(0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1), (6, 2, 2)]
    """
    rest = math.ceil((1.0 - 0.6) * rows)
    test = math.ceil(0.2 / (0.2 + 0.2) * rest)
    return rows - rest, rest - test, test


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


def assign_as_authors(
    domains: npt.NDArray[np.integer],
    labels: npt.NDArray[np.integer],
    users: npt.NDArray[np.integer],
    names: Sequence[str],
    seed: int,
) -> npt.NDArray[np.int8]:
    """The split of each row as the authors' code makes it: positives over the domain, negatives within each user.

    Args:
        domains, labels: as in `assign`.
        users: int [N], each row's user.
    """
    split = np.empty(len(domains), dtype=np.int8)
    parts = np.array((TRAIN, VAL, TEST), dtype=np.int8)
    order = np.argsort(domains, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(domains, minlength=len(names)))])
    for number, name in enumerate(names):
        rows = order[bounds[number] : bounds[number + 1]]
        # A user's negatives are a group, the domain's positives are one.
        group = np.where(labels[rows] == 1, -1, users[rows])
        shuffled = generator(seed, "split", name, "authors").permutation(len(rows))
        sorted_rows = shuffled[np.argsort(group[shuffled], kind="stable")]
        sizes = np.unique(group, return_counts=True)[1]
        shares = {size: np.repeat(parts, authors_counts(size)) for size in set(sizes.tolist())}
        if len(rows):
            split[rows[sorted_rows]] = np.concatenate([shares[size] for size in sizes.tolist()])
    return split
