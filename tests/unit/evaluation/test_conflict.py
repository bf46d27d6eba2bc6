"""Conflict between domains: figures by hand, samples with their error, an order that shows clusters, and the dial."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest

import mamdr
from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions, inner
from mamdr.engine.gradients import Gradients
from mamdr.evaluation.conflict import Conflict, Floats, chosen, conflict
from mamdr.evaluation.report.conflict import conflict_section
from mamdr.parameters import LocalStore
from mamdr.strategies import Alternate, DomainNegotiation, Joint, State, Strategy
from mamdr.testing import TwoTables, parameters_of, tiny_market
from mamdr.testing.lab import at_work, problem_of

BY_HAND = Conflict((0, 2, 5), np.array([[4.0, -2.0, 6.0], [-2.0, 1.0, 0.0], [6.0, 0.0, 9.0]]), 3)


def test_figures_by_hand() -> None:
    np.testing.assert_allclose(BY_HAND.cosines, [[1, -1, 1], [-1, 1, 0], [1, 0, 1]])
    assert BY_HAND.summary() == {
        "domains_compared": 3,
        "domains": 3,
        "pairs": 3,
        "mean_cosine": 0.0,
        "mean_product": pytest.approx(4 / 3),
        "conflicting_share": pytest.approx(1 / 3),
    }


def test_a_gradient_of_zero_has_no_direction_and_counts_in_no_pair() -> None:
    found = Conflict((0, 1, 2), np.array([[1.0, 0.0, -0.5], [0.0, 0.0, 0.0], [-0.5, 0.0, 1.0]]), 3)
    assert (found.pairs, found.mean_cosine, found.share) == (1, -0.5, 1.0)
    assert found.to_json(["a", "b", "c"])["cosines"] == [[1, None, -0.5], [None] * 3, [-0.5, None, 1]]
    assert sorted(found.order()) == [0, 1, 2]
    alone = Conflict((4,), np.array([[1.0]]), 1)
    assert (alone.pairs, alone.mean_cosine, alone.share, alone.order()) == (0, None, None, [0])
    assert "n/a" in conflict_section({"run": "x", "round": 1, **alone.to_json(list("abcde"))}, tuple("abcde"))


def test_json_goes_there_and_back() -> None:
    names = list("abcdef")
    content = json.loads(json.dumps(BY_HAND.to_json(names), allow_nan=False))
    again = Conflict.from_json(content, names)
    assert (again.domains, again.total) == (BY_HAND.domains, BY_HAND.total)
    np.testing.assert_array_equal(again.products, BY_HAND.products)


def test_the_matrix_is_that_of_plain_dot_products() -> None:
    module, data = TwoTables().double(), tiny_market()
    with at_work(module, data) as (session, _):
        gradients, store = Gradients(session, {}), LocalStore.of(module, session.space)
        found = conflict(gradients, store)
        whole = [parameters_of(gradients(store, domain)) for domain in range(4)]
    for i, j in itertools.product(range(4), repeat=2):
        dot = sum(float((whole[i][name] * whole[j][name]).sum()) for name in whole[i])
        assert found.products[i, j] == pytest.approx(dot, rel=1e-9, abs=1e-15)
    assert found.domains == (0, 1, 2, 3)


def test_more_domains_than_are_compared_are_sampled_from_the_seed() -> None:
    sizes = [3, 0, 4, 5, 0, 1, 2]
    assert chosen(sizes, 5, 0) == ((0, 2, 3, 5, 6), 5)
    samples = {chosen(sizes, 3, seed)[0] for seed in range(20)}
    assert len(samples) > 3
    assert all(len(set(ids)) == 3 and set(ids) <= {0, 2, 3, 5, 6} for ids in samples)
    assert chosen(sizes, 3, 7) == chosen(sizes, 3, 7)
    with at_work(TwoTables(), tiny_market((9,) * 6)) as (session, _):
        told: list[tuple[str, int, int]] = []
        found = conflict(
            Gradients(session, {}),
            LocalStore.of(session.module, session.space),
            domains=4,
            progress=lambda *args: told.append(args),
        )
    assert (len(found.domains), found.total, found.sampled) == (4, 6, True)
    assert "mean_cosine_error" in found.summary()
    assert told[-1] == ("gradients", 4, 4)


def _clustered(size: int, seed: int, groups: int = 2) -> Floats:
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(groups, 40))
    vectors = centres[np.arange(size) % groups] + 1.2 * draw.normal(size=(size, 40))
    return np.asarray(vectors @ vectors.T)


def test_the_error_of_a_sample_covers_what_all_domains_have() -> None:
    """200 samples of 20 of 60 domains: the true mean lies within two errors in most of them, and the errors are of the
    size of the deviations."""
    products = _clustered(60, 1)
    everyone = Conflict(tuple(range(60)), products, 60)
    deviations, errors = [], []
    for seed in range(200):
        ids = np.sort(np.random.default_rng(seed).choice(60, 20, replace=False))
        sample = Conflict(tuple(ids.tolist()), products[np.ix_(ids, ids)], 60)
        deviations.append(sample.mean_cosine - everyone.mean_cosine)  # type: ignore[operator]
        errors.append(sample.summary()["mean_cosine_error"])
    inside = np.mean(np.abs(deviations) < 2 * np.array(errors))
    assert inside > 0.85
    assert 0.5 < np.std(deviations) / np.mean(errors) < 2


def test_the_jackknife_by_plain_loops() -> None:
    products = _clustered(7, 3)
    found = Conflict(tuple(range(7)), products, 30)
    means = []
    for left in range(7):
        pairs = [(i, j) for i, j in itertools.combinations(range(7), 2) if left not in (i, j)]
        means.append(
            sum(products[i, j] / math.sqrt(products[i, i] * products[j, j]) for i, j in pairs) / len(pairs)
        )
    spread = sum((mean - sum(means) / 7) ** 2 for mean in means)
    assert found.error(found.cosines) == pytest.approx(math.sqrt((1 - 7 / 30) * 6 / 7 * spread))


@pytest.mark.parametrize("seed", range(3))
def test_domains_that_agree_stand_together(seed: int) -> None:
    """Two groups, mixed up: in the order each is one run of neighbours."""
    order = Conflict(tuple(range(14)), _clustered(14, seed), 14).order()
    groups = [place % 2 for place in order]
    assert sorted(order) == list(range(14))
    assert sum(a != b for a, b in itertools.pairwise(groups)) == 1


def test_a_map_of_many_domains_stays_small() -> None:
    names = tuple(f"d{number}" for number in range(200))
    found = Conflict(tuple(range(200)), _clustered(200, 1), 10_000)
    section = conflict_section({"run": "<b>", "round": 3, **found.to_json(names)}, names)
    assert len(section) < 1_000_000
    assert section.count("h1v1h-1z") <= 200 * 200
    assert "a sample of 200 of 10,000 domains" in section
    assert "standard error" in section
    assert "<bdi>&lt;b&gt;</bdi>" in section


def _market(dial: float, seed: int = 1) -> Dataset:
    return mamdr.synthetic_market(
        domains=6,
        users=100,
        items=40,
        samples_per_domain=500,
        conflict=dial,
        tastes=3,
        seed=seed,
        ctr_ratio=(1, 1),
        tail=0.0,
        overlap=1.0,
    )


def _course(data: Dataset, strategy: Strategy, rounds: int, lr: float) -> list[tuple[float, Conflict]]:
    """Training loss of a round, and the conflict at its end."""
    settings: dict[str, Any] = {"embedding": 8, "hidden": (16,), "dropout": 0.0, "domain_embedding": False}
    module = mamdr.models.build("mlp", data.schema, settings, seed=1)
    course = []
    with at_work(module, data, WalkOptions(batch_size=64, inner=inner.Adam(lr=lr))) as (session, run):
        state = State(LocalStore.of(module, session.space), seed=1)
        for _ in range(rounds):
            state = strategy.round(state, problem_of(session), run)
            state.round += 1
            course.append((state.losses["shared"], conflict(Gradients(session, state.buffers), state.shared)))
    return course


def test_the_markets_dial_shows() -> None:
    """After one round of training: the more conflict is dialled, the lower the cosines, the more pairs conflict."""
    found = [_course(_market(dial), Joint(), 1, 0.005)[0][1] for dial in (0.0, 0.5, 1.0)]
    cosines, shares = [c.mean_cosine for c in found], [c.share for c in found]
    assert cosines[0] > cosines[1] + 0.05 > cosines[2] + 0.1  # type: ignore[operator]
    assert shares[0] < shares[1] < shares[2]  # type: ignore[operator]
    assert shares[0] == 0.0
    assert shares[2] > 0.2  # type: ignore[operator]


def test_negotiation_agrees_more_than_alternate_at_the_same_loss() -> None:
    """The paper's claim (section IV-C): at equal training loss the gradients of domains agree more after DN."""
    data = _market(0.7)
    slow = _course(data, DomainNegotiation(outer_lr=0.1), 30, 0.004)
    fast = _course(data, Alternate(inner_state="fresh"), 10, 0.001)
    levels = (0.67, 0.65)
    for level in levels:
        dn, alternate = (_at_loss(course, level) for course in (slow, fast))
        assert dn > alternate


def _at_loss(course: list[tuple[float, Conflict]], level: float) -> float:
    losses = np.array([loss for loss, _ in course])
    cosines = np.array([c.mean_cosine for _, c in course], np.float64)
    assert losses.min() < level < losses.max()
    return float(np.interp(-level, -losses, cosines))
