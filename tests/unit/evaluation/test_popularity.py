"""Click rates as scores, against a loop over rows and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mamdr.data.domains import Dataset, DomainData
from mamdr.evaluation.popularity import popularity, rates


def _columns(domain: list[int], user: list[int], label: list[int]) -> dict[str, np.ndarray]:
    return {
        "user_id": np.array(user, np.int32),
        "item_id": np.array(user, np.int32)[::-1].copy(),
        "domain": np.array(domain, np.int32),
        "label": np.array(label, np.float32),
    }


def _data(train: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> Dataset:
    return Dataset.from_arrays(
        "tiny", ["a", "b", "c"], {"train": train, "val": test, "test": test}, {"user_id": 5, "item_id": 5}
    )


def _by_hand(train: DomainData, domain: int, user: int, prior: float) -> float:
    start, stop = train.offsets[domain], train.offsets[domain + 1]
    pairs = list(
        zip(train.columns["user_id"][start:stop].tolist(), train.labels[start:stop].tolist(), strict=True)
    )
    base = sum(label for _, label in pairs) / len(pairs) if pairs else 0.0
    own = [label for other, label in pairs if other == user]
    return (sum(own) + prior * base) / (len(own) + prior)


ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), min_size=0, max_size=30)


@settings(deadline=None)
@given(ROWS, ROWS, st.sampled_from([0.5, 5.0]))
def test_rates_are_those_of_a_loop_over_rows(
    train: list[tuple[int, int, int]], test: list[tuple[int, int, int]], prior: float
) -> None:
    parts = [[list(column) for column in zip(*rows, strict=True)] or [[], [], []] for rows in (train, test)]
    data = _data(*(_columns(*part) for part in parts))
    found = rates(data.train, data.test, "user_id", prior)
    domains = np.repeat(np.arange(3), np.diff(data.test.offsets.numpy()))
    users = data.test.columns["user_id"].tolist()
    expected = [_by_hand(data.train, d, u, prior) for d, u in zip(domains.tolist(), users, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_auc_by_domain_is_scikit_learns_and_a_domain_of_one_class_has_none() -> None:
    draw = np.random.default_rng(1)
    size = 200
    domain = [*draw.integers(0, 2, size).tolist(), 2, 2]
    user, label = draw.integers(0, 5, size + 2).tolist(), [*draw.integers(0, 2, size).tolist(), 1, 1]
    rows = _columns(domain, user, label)
    data = _data(rows, {name: values[::3] for name, values in rows.items()})
    found = popularity(data)
    for column in ("item_id", "user_id"):
        scores, labels, offsets = (
            rates(data.train, data.test, column),
            data.test.labels.numpy(),
            data.test.offsets,
        )
        each = [
            roc_auc_score(labels[offsets[d] : offsets[d + 1]], scores[offsets[d] : offsets[d + 1]])
            for d in (0, 1)
        ]
        aucs = found[column]["aucs"]
        assert [aucs["a"], aucs["b"]] == pytest.approx(each, abs=1e-12)
        assert aucs["c"] is None
        assert found[column]["mean_auc"] == pytest.approx(np.mean(each), abs=1e-12)
