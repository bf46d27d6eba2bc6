from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from mamdr.errors import ConfigError, MamdrError
from mamdr.evaluation import evaluate, paired_bootstrap
from mamdr.evaluation.bootstrap import _Pairs

NAMES = ["a", "b", "c"]


def two_runs(seed: int, rows: int = 3000) -> tuple[np.ndarray, ...]:
    """Domains, labels and two runs' scores of equal variance; true AUCs follow from their shifts."""
    rng = np.random.default_rng(seed)
    domains, labels = np.sort(rng.integers(0, 3, rows)), rng.integers(0, 2, rows)
    shared = rng.normal(size=rows)
    good = shared + rng.normal(size=rows) + 2.0 * labels
    poor = shared + rng.normal(size=rows) + 1.5 * labels
    return domains, labels, good, poor


def auc_of_shift(shift: float) -> float:
    """P(x + shift > y) for x, y ~ N(0, 2)."""
    return NormalDist().cdf(shift / 2)


def test_intervals_cover_a_known_difference_as_often_as_they_say() -> None:
    truth, covered, covered_domain = auc_of_shift(2.0) - auc_of_shift(1.5), 0, 0
    for seed in range(60):
        lift = paired_bootstrap(NAMES, *two_runs(seed, 900), seed=seed, replicates=200, confidence=0.9)
        assert lift.mean is not None
        assert lift.domains["b"] is not None
        covered += lift.mean.low <= truth <= lift.mean.high
        covered_domain += lift.domains["b"].low <= truth <= lift.domains["b"].high
    assert 47 <= covered <= 60  # 54 expected; 47 or fewer happens once in 200
    assert 47 <= covered_domain <= 60


def test_estimates_are_the_differences_of_the_metrics() -> None:
    domains, labels, good, poor = two_runs(1)
    good, poor = 1 / (1 + np.exp(-good)), 1 / (1 + np.exp(-poor))
    lift = paired_bootstrap(NAMES, domains, labels, good, poor, replicates=50)
    first, second = evaluate(NAMES, domains, labels, good), evaluate(NAMES, domains, labels, poor)
    assert lift.mean is not None
    assert first.mean_auc is not None
    assert second.mean_auc is not None
    assert lift.mean.estimate == pytest.approx(first.mean_auc - second.mean_auc, abs=1e-12)
    assert lift.mean.low < lift.mean.estimate < lift.mean.high
    assert lift.mean.sure
    for left, right in zip(first.domains, second.domains, strict=True):
        each = lift.domains[left.name]
        assert each is not None
        assert left.auc is not None
        assert right.auc is not None
        assert each.estimate == pytest.approx(left.auc - right.auc, abs=1e-12)


def test_weights_count_as_repeated_rows() -> None:
    """A replicate's AUC is the AUC of the rows written out as often as they were drawn, ties included."""
    rng = np.random.default_rng(2)
    domains, labels = rng.integers(0, 3, 200), rng.integers(0, 2, 200)
    scores = rng.integers(0, 6, 200).astype(np.float32)
    pairs = _Pairs(labels, domains, 3, (scores, scores))
    pos_weight = np.concatenate([rng.multinomial(n, np.ones(n) / n) for n in pairs.pos])
    neg_weight = np.concatenate([rng.multinomial(n, np.ones(n) / n) for n in pairs.neg])
    order = np.argsort(domains, kind="stable")
    pos_rows, neg_rows = order[labels[order] == 1], order[labels[order] == 0]
    rows = np.concatenate([np.repeat(pos_rows, pos_weight), np.repeat(neg_rows, neg_weight)])
    written_out = evaluate(NAMES, domains[rows], labels[rows], scores[rows] / 8)
    got = pairs._auc(pairs.runs[0], pos_weight, neg_weight)
    np.testing.assert_allclose(got, [domain.auc for domain in written_out.domains], atol=1e-12)


def test_a_run_against_itself_has_no_difference() -> None:
    domains, labels, good, _ = two_runs(3, 200)
    lift = paired_bootstrap(NAMES, domains, labels, good, good, replicates=20)
    assert lift.mean is not None
    assert (lift.mean.estimate, lift.mean.low, lift.mean.high, lift.mean.sure) == (0.0, 0.0, 0.0, False)


def test_same_seed_same_intervals_other_seed_others() -> None:
    runs = two_runs(4, 300)
    first, again, other = (paired_bootstrap(NAMES, *runs, seed=s, replicates=30) for s in (7, 7, 8))
    assert first == again
    assert first != other


def test_pairing_narrows_the_interval() -> None:
    """Runs that share their noise differ less from draw to draw than the same runs on other rows."""
    domains, labels, good, poor = two_runs(5)
    paired = paired_bootstrap(NAMES, domains, labels, good, poor, replicates=200).mean
    rng = np.random.default_rng(0)
    apart = poor.copy()
    for d in range(3):
        for label in (0, 1):
            rows = np.flatnonzero((domains == d) & (labels == label))
            apart[rows] = poor[rng.permutation(rows)]
    unpaired = paired_bootstrap(NAMES, domains, labels, good, apart, replicates=200).mean
    assert paired is not None
    assert unpaired is not None
    assert paired.high - paired.low < 0.85 * (unpaired.high - unpaired.low)


def test_domains_of_one_class_have_no_lift() -> None:
    lift = paired_bootstrap(
        NAMES, [0, 0, 0, 0, 1], [1, 0, 1, 0, 1], [4, 1, 3, 2, 5], [1, 2, 3, 4, 5], replicates=10
    )
    assert lift.domains["b"] is None
    assert lift.domains["c"] is None
    assert lift.mean is not None
    assert lift.mean.estimate == 0.75
    assert paired_bootstrap(["a"], [0], [1], [0.5], [0.5]).mean is None


@pytest.mark.parametrize("options", [{"replicates": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="replicates >= 1"):
        paired_bootstrap(["a"], [0, 0], [1, 0], [0.1, 0.2], [0.1, 0.2], **options)  # type: ignore[arg-type]


def test_runs_of_different_lengths_are_refused() -> None:
    with pytest.raises(MamdrError, match="labels of shape"):
        paired_bootstrap(["a"], [0, 0], [1, 0], [0.1, 0.2], [0.1, 0.2, 0.3])
