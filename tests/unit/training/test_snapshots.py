"""Several rounds that serve a domain together: which, with what figures, and wherever the domain is scored."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import snapshots as oracle
from tests.unit.engine.zoo import ZOO, make
from tests.unit.training.runs import WALK
from tests.unit.training.test_own_rounds import SHARES, by_round, train

from mamdr.engine import Predictor
from mamdr.errors import CheckpointError, ConfigError
from mamdr.models import build
from mamdr.strategies import MAMDR, Alternate, State, Strategy, seat, served
from mamdr.testing import same_bits, tiny_market
from mamdr.training import Run, Trainer, TrainOptions, checkpoint
from mamdr.training.own_rounds import OwnRounds
from mamdr.training.snapshots import seating


@given(st.data(), st.integers(1, 4))
@settings(max_examples=200)
def test_seats_are_the_oracles(data: st.DataObject, most: int) -> None:
    """Scores are sixteenths, so that sums are exact and ties are ties."""
    labels = data.draw(
        st.lists(st.integers(0, 1), min_size=2, max_size=8).filter(lambda drawn: len({*drawn}) == 2)
    )
    sixteenths = st.integers(0, 16).map(lambda n: n / 16)
    one = st.lists(sixteenths, min_size=len(labels), max_size=len(labels))
    rounds = data.draw(st.lists(one, min_size=1, max_size=8))
    held: list[torch.Tensor] = []
    seats: list[int] = []
    best = -1.0
    for now, scores in enumerate(rounds):
        found = torch.tensor(scores)
        number, alone, auc = seating(held, found, torch.tensor(labels), most)
        if auc > best:
            last = len(held) if alone else number + 1
            best, held[number:last], seats[number:last] = auc, [found], [now]
    expected, worth = oracle.together(rounds, labels, most)
    assert best == pytest.approx(worth, abs=1e-12)
    if most in (1, 2, 4):  # a mean of three rounds to rounding, by which ties may fall otherwise
        assert seats == expected
    alone_best = max(oracle.together([scores], labels, 1)[1] for scores in rounds)
    assert best >= alone_best - 1e-12


def rows_of(run: Run, domain: int) -> slice:
    bounds = run.data.val.offsets
    return slice(int(bounds[domain]), int(bounds[domain + 1]))


@pytest.mark.parametrize("strategy", [None, MAMDR(num_helpers=1, specific_lr=1.0)], ids=["dn", "mamdr"])
def test_a_run_is_served_by_the_rounds_that_the_oracle_chooses(
    strategy: Strategy | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[torch.Tensor]] = {}
    update = OwnRounds.update

    def watched(self: OwnRounds, session: Any, strategy: Strategy, state: State, *rest: Any) -> None:
        predict = Predictor(session, session.data.val, state.buffers)
        for domain in range(4):
            store = strategy.params_for(replace(state, chosen={}), domain)
            seen.setdefault(domain, []).append(predict(store, domain).clone())
        update(self, session, strategy, state, *rest)

    monkeypatch.setattr(OwnRounds, "update", watched)
    run = train(tmp_path / "run", 8, strategy, snapshots=2)
    (event,) = [event for event in run.events if event["event"] == "own_rounds"]
    scored, aucs = dict(run.predict("val")), run.evaluate("val").aucs
    single = by_round(run)
    for domain, name in enumerate(run.data.schema.domains):
        labels = run.data.val.labels[rows_of(run, domain)].int().tolist()
        seats, auc = oracle.together([scores.tolist() for scores in seen[domain]], labels, 2)
        told = event["domains"][name]
        assert told["snapshots"] == [1 + round for round in seats]
        assert told["val_auc"] == aucs[name] == pytest.approx(auc, abs=1e-12)
        assert aucs[name] >= max(aucs_then[name] for aucs_then in single)
        assert told["round"] == max(told["snapshots"], key=lambda round: (single[round - 1][name], -round))
        mean = sum(seen[domain][round] for round in seats) / len(seats)
        torch.testing.assert_close(torch.from_numpy(scored[domain]), mean, rtol=0, atol=1e-6)
    assert 2 in {len(told["snapshots"]) for told in event["domains"].values()}, "one round each tests nothing"
    assert event["val"]["mean_auc"] == run.evaluate("val").mean_auc


def test_one_snapshot_is_the_best_round(tmp_path: Path) -> None:
    alone, plain = train(None, 6, snapshots=1), train(None, 6)
    assert same_bits(alone.state, plain.state)
    assert not plain.state.further


def test_its_module_scores_as_it_does(tmp_path: Path) -> None:
    run = train(tmp_path / "run", 8, snapshots=3)
    assert run.state.further, "nothing is tested"
    for domain, scores in run.predict("val"):
        batch = {name: column[rows_of(run, domain)] for name, column in run.data.val.columns.items()}
        torch.testing.assert_close(run.score(domain, batch), torch.from_numpy(scores), rtol=0, atol=1e-6)


def test_stopped_and_resumed_it_is_a_straight_run(tmp_path: Path) -> None:
    how: dict[str, Any] = {
        "snapshots": 3,
        "strategy": MAMDR(num_helpers=1, specific_lr=1.0),
        "shares": SHARES,
    }
    straight = train(tmp_path / "straight", 8, **how)
    for rounds in (1, 4, 8):
        resumed = train(tmp_path / "stopped", rounds, resume=rounds > 1, **how)
    assert straight.state.further
    assert same_bits(resumed.state, straight.state)
    module = build("mlp", straight.data.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    opened = Run.open(tmp_path / "straight", module=module, data=straight.data)
    assert same_bits(opened.state, straight.state)
    assert opened.evaluate("test") == straight.evaluate("test") == train(None, 8, **how).evaluate("test")


@pytest.mark.parametrize("name", list(ZOO))
def test_awkward_modules_stopped_and_resumed(name: str, tmp_path: Path) -> None:
    """Of a module that makes ids itself a round has not every row: what is missing is of the state of now."""

    def go(folder: Path, rounds: int, resume: bool = False) -> Run:
        options = TrainOptions(rounds=rounds, patience=0, choose="domain", snapshots=2)
        return Trainer(make(name), tiny_market(numeric=True), Alternate(), options, WALK, folder=folder).fit(
            resume=resume
        )

    if name == "batch norm":
        with pytest.raises(ConfigError, match="running statistics"):
            go(tmp_path / "refused", 1)
        return
    straight = go(tmp_path / "straight", 5)
    go(tmp_path / "stopped", 3)
    assert same_bits(go(tmp_path / "stopped", 5, resume=True).state, straight.state)


@pytest.mark.parametrize(
    ("settings", "found"),
    [({"choose": "run"}, "train.choose = 'run'"), ({"mean_within": 0.5}, "train.mean_within = 0.5")],
)
def test_several_rounds_want_rounds_of_a_domains_own(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError) as error:
        train(None, snapshots=3, **settings)
    assert f"train.snapshots = 3 with {found}" in str(error.value)


def test_seats_of_domains_do_not_overlap() -> None:
    places = [seat(domain, number) for domain in range(70) for number in range(1, 64)]
    assert len({*places}) == len(places)


def test_who_has_no_seat_left_serves_no_more(tmp_path: Path) -> None:
    """A round that is better alone than with any other puts the others out of the run and of its checkpoint."""
    run = train(tmp_path / "run", 8, snapshots=3)
    own = OwnRounds(snapshots=3)
    state = replace(run.state, chosen={}, further={})
    labels = run.data.val.labels
    noise = torch.rand(2, len(labels), generator=torch.Generator().manual_seed(1))
    known = torch.arange(len(labels)) % 2 == 0
    probabilities = {  # round 1 knows one half of the rows, 2 the other; 3 all of them, in a small voice
        1: 1.2 * noise[0] + torch.where(known, 0.5 * labels, 0.25),
        2: 1.2 * noise[1] + torch.where(known, 0.25, 0.5 * labels),
        3: 0.5 + 1e-4 * labels,
    }
    seated: list[list[int]] = []
    metrics = run.evaluate("val")
    with run.session() as session:

        class Told(Predictor):
            def __call__(self, store: Any, domain: int) -> torch.Tensor:
                return probabilities[state.round][rows_of(run, domain)]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mamdr.training.own_rounds.Predictor", Told)
            for state.round in (1, 2, 3):
                own.update(session, run.strategy, state, metrics, {})
                seated.append([len(served(run.strategy, state, domain)) for domain in range(4)])
    assert max(seated[1]) == 2, "nobody was put out"
    assert seated[2] == [1] * 4
    assert not state.further
    assert [member for _, member, _ in own.best[0].members] == [3]
    checkpoint.save(tmp_path / "saved", state, {})
    assert checkpoint.read_meta(tmp_path / "saved").get("further") is None


def test_a_checkpoint_that_an_older_version_would_misread_is_of_a_format_of_its_own(tmp_path: Path) -> None:
    run = train(tmp_path / "run", 8, snapshots=3)
    with_several = tmp_path / "several"
    checkpoint.save(with_several, run.state, {})
    assert f'"format": {checkpoint.SEVERAL}' in (with_several / "meta.json").read_text()
    assert same_bits(checkpoint.load(with_several, run.space)[0], run.state)
    plain = tmp_path / "plain"
    checkpoint.save(plain, replace(run.state, further={}), {})
    assert f'"format": {checkpoint.FORMAT}' in (plain / "meta.json").read_text()
    shutil.copy(plain / "state.safetensors", with_several / "state.safetensors")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(with_several, run.space)
