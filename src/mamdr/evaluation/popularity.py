"""What click rates alone get: the floor that any model of the same data should be above.

The rate of an id in a domain, drawn towards the domain's own as far as its training rows are few:

    r(d, x) = (clicks of x in d + prior · share of clicks in d) / (rows of x in d + prior)

By item it is popularity. By user it tells whether a user's inclination to click carries over from train: where
negatives are drawn by a fixed ratio for each user it is below one half, since whoever has more of his clicks in train
has fewer of them in test, and a model that learns it does worse than one that does not (docs/protocol.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mamdr.data.domains import Dataset, DomainData
from mamdr.evaluation.metrics import evaluate

PRIOR = 5.0


def popularity(
    dataset: Dataset, columns: tuple[str, ...] = ("item_id", "user_id"), split: str = "test"
) -> dict[str, dict[str, Any]]:
    """For each id column: `mean_auc` over domains, and `aucs` by domain (None for one of one class).

    Args:
        columns: id columns; not lists.
        split: which rows are scored; rates are always train's.

    Cost: a sort of train's ids by domain for each column; memory of a few numbers a row.
    """
    rows = dataset.split(split)
    found = {}
    for column in columns:
        scores = rates(dataset.train, rows, column)
        metrics = evaluate(dataset.schema.domains, rows.offsets.numpy(), rows.labels.numpy(), scores)
        found[column] = {"mean_auc": metrics.mean_auc, "aucs": metrics.aucs}
    return found


def rates(train: DomainData, rows: DomainData, column: str, prior: float = PRIOR) -> NDArray[np.float64]:
    """r(d, x) of each row's domain and id, [N]; the domain's own rate for an id that train lacks there."""
    known, place = np.unique(_keys(train, column), return_inverse=True)
    labels, domains = train.labels.numpy(), _domains(train)
    count = np.bincount(place, minlength=len(known))
    clicks = np.bincount(place, weights=labels, minlength=len(known))
    sizes = np.maximum(np.diff(train.offsets.numpy()), 1)
    base = np.bincount(domains, weights=labels, minlength=len(sizes)) / sizes
    wanted = _keys(rows, column)
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    seen = known[at] == wanted if len(known) else np.zeros(len(wanted), bool)
    own = base[_domains(rows)]
    if not len(known):
        return own
    return np.where(seen, (clicks[at] + prior * own) / (count[at] + prior), own)


def _domains(rows: DomainData) -> NDArray[np.int64]:
    sizes = np.diff(rows.offsets.numpy())
    return np.repeat(np.arange(len(sizes)), sizes)


def _keys(rows: DomainData, column: str) -> NDArray[np.int64]:
    """One number for each row's domain and id."""
    return _domains(rows) << 32 | rows.columns[column].numpy().astype(np.int64)
