"""λ_i: how much of its specific part serves a domain, chosen on validation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import mamdr
from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError
from mamdr.models import build
from mamdr.strategies import DomainRegularization, Finetune, Strategy
from mamdr.testing import same_bits
from mamdr.testing.lab import parameters_of
from mamdr.training import Run

SHARES = (0.0, 0.5, 1.0)


def data() -> Dataset:
    return mamdr.synthetic_market(domains=4, users=60, items=30, samples_per_domain=200)


def train(
    strategy: Strategy | None = None, folder: Path | None = None, rounds: int = 3, **settings: object
) -> Run:
    market = data()
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    strategy = strategy or DomainRegularization(num_helpers=1, specific_lr=0.5)
    return mamdr.fit(
        module, market, strategy, rounds=rounds, patience=0, batch_size=32, seed=1, folder=folder, **settings
    )


def aucs(run: Run, shares: dict[int, float]) -> dict[str, float | None]:
    run.state.shares = shares
    return run.evaluate("val").aucs


@pytest.mark.parametrize(
    "strategy", [None, Finetune(passes=3), mamdr.strategies.MAMDR(num_helpers=1), mamdr.strategies.Separate()]
)
def test_each_domain_gets_the_share_of_the_highest_validation_auc(strategy: Strategy | None) -> None:
    run = train(strategy, shares=SHARES)
    chosen = dict(run.state.shares)
    assert set(chosen) == set(range(4))
    by_share = {share: aucs(run, dict.fromkeys(range(4), share)) for share in SHARES}
    for domain, name in enumerate(run.data.schema.domains):
        best = max(by_share[share][name] or 0.0 for share in SHARES)
        assert chosen[domain] == min(share for share in SHARES if by_share[share][name] == best)


def test_with_zero_among_them_no_domain_is_below_shared_on_validation() -> None:
    run = train(shares=SHARES)
    chosen = dict(run.state.shares)
    assert len(set(chosen.values())) > 1, "a market on which shares do not differ tests nothing"
    served, shared = aucs(run, chosen), aucs(run, dict.fromkeys(range(4), 0.0))
    assert all((served[name] or 0.0) >= (shared[name] or 0.0) for name in served)


def test_half_a_share_lays_over_half_of_the_part() -> None:
    run = train()
    assert run.state.shares == {}
    shared, whole = (parameters_of(run.strategy.params_for(run.state, 2)) for _ in range(2))
    run.state.shares = {2: 0.0}
    shared = parameters_of(run.strategy.params_for(run.state, 2))
    run.state.shares = {2: 0.5}
    half = parameters_of(run.strategy.params_for(run.state, 2))
    for name in whole:
        torch.testing.assert_close(half[name], (whole[name] + shared[name]) / 2)
    assert any(not torch.equal(whole[name], shared[name]) for name in whole)


def test_shares_are_kept_with_the_best_round_and_training_does_not_see_them(tmp_path: Path) -> None:
    straight = train(folder=tmp_path / "straight", rounds=4, shares=SHARES)
    train(folder=tmp_path / "stopped", rounds=2, shares=SHARES)
    market = data()
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    strategy = DomainRegularization(num_helpers=1, specific_lr=0.5)
    resumed = mamdr.fit(
        module,
        market,
        strategy,
        rounds=4,
        patience=0,
        batch_size=32,
        seed=1,
        folder=tmp_path / "stopped",
        resume=True,
        shares=SHARES,
    )
    assert resumed.state.shares == straight.state.shares != {}
    assert resumed.evaluate("test") == straight.evaluate("test")
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    opened = Run.open(tmp_path / "straight", module=module, data=market)
    assert opened.state.shares == straight.state.shares
    assert opened.evaluate("test") == straight.evaluate("test")


def test_a_strategy_without_specific_parts_has_no_shares() -> None:
    assert train(mamdr.strategies.DomainNegotiation(), shares=SHARES).state.shares == {}


def test_the_event_says_what_was_chosen(tmp_path: Path) -> None:
    run = train(folder=tmp_path / "run", shares=SHARES)
    event = next(event for event in run.events if event["event"] == "shares")
    assert event["shares"] == {
        run.data.schema.domains[domain]: share for domain, share in run.state.shares.items()
    }
    assert event["val"]["mean_auc"] == run.evaluate("val").mean_auc


@pytest.mark.parametrize("strategy", [None, mamdr.strategies.MAMDR(num_helpers=1), Finetune(passes=3)])
def test_shrunk_after_each_round_no_domain_is_below_shared_on_validation(strategy: Strategy | None) -> None:
    run = train(strategy, shares=SHARES, shrink=True)
    assert run.state.shares == {}
    served, shared = aucs(run, {}), aucs(run, dict.fromkeys(range(4), 0.0))
    assert all((served[name] or 0.0) >= (shared[name] or 0.0) for name in served)
    plain = train(strategy)
    assert any(a != b for a, b in zip(aucs(plain, {}).values(), served.values(), strict=True))


@pytest.mark.parametrize("strategy", [None, mamdr.strategies.MAMDR(num_helpers=1, backoff=True)])
def test_shrinking_is_what_training_goes_on_from(strategy: Strategy | None, tmp_path: Path) -> None:
    """Stopped after a round and resumed it is the straight run, and not the run whose shares are chosen at its end."""
    straight = train(strategy, folder=tmp_path / "straight", rounds=3, shares=SHARES, shrink=True)
    for rounds in (1, 2, 3):
        resumed = train(
            strategy,
            folder=tmp_path / "stopped",
            rounds=rounds,
            shares=SHARES,
            shrink=True,
            resume=rounds > 1,
        )
    assert same_bits(resumed.state, straight.state)
    assert not same_bits(straight.state, train(strategy, rounds=3, shares=SHARES).state)


def test_parts_that_are_dropped_rest_and_count_as_none(tmp_path: Path) -> None:
    strategy = DomainRegularization(num_helpers=1, backoff=True)
    folder = tmp_path / "run"
    run = train(strategy, folder=folder, rounds=3, shares=[0.0], shrink=True, choose="domain")
    assert run.state.specific == {}
    first, second, third = (event["samples"] for event in run.events if event["event"] == "round")
    assert first == third > second == 0
    event = next(event for event in run.events if event["event"] == "own_rounds")
    assert {told["share"] for told in event["domains"].values()} == {0.0}


def test_shrunk_parts_are_their_shares_of_what_was_learned() -> None:
    whole, shrunk = train(rounds=1, shares=SHARES), train(rounds=1, shares=SHARES, shrink=True)
    assert len(set(whole.state.shares.values())) > 1, "a market on which shares do not differ tests nothing"
    for domain, share in whole.state.shares.items():
        assert (domain in shrunk.state.specific) == bool(share)
        if share:
            torch.testing.assert_close(
                shrunk.state.specific[domain].flat, share * whole.state.specific[domain].flat
            )


def test_rounds_of_their_own_tell_the_shares_that_were_kept(tmp_path: Path) -> None:
    run = train(folder=tmp_path / "run", rounds=1, shares=SHARES, shrink=True, choose="domain")
    event = next(event for event in run.events if event["event"] == "own_rounds")
    shares = train(rounds=1, shares=SHARES).state.shares
    names = run.data.schema.domains
    assert {name: told["share"] for name, told in event["domains"].items()} == {
        names[domain]: share for domain, share in shares.items()
    }
    assert event["val"]["mean_auc"] == run.evaluate("val").mean_auc


def test_shrinking_needs_shares() -> None:
    with pytest.raises(ConfigError, match=r"train.shrink without train.shares"):
        train(shrink=True)
