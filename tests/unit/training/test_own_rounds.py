"""The round, and the share of its specific part, that serve each domain, chosen on its own validation rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.training.test_shares import data

import mamdr
from mamdr.errors import ConfigError
from mamdr.evaluation.auc import standard_error
from mamdr.models import build
from mamdr.strategies import DomainNegotiation, Strategy, served
from mamdr.testing.lab import parameters_of, same_bits
from mamdr.training import Run, own_rounds
from mamdr.training.own_rounds import OwnRounds

SHARES = (0.0, 0.5, 1.0)


def train(
    folder: Path | None,
    rounds: int = 6,
    strategy: Strategy | None = None,
    shares: tuple[float, ...] = (),
    **more: object,
) -> Run:
    market = data()
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    settings = {
        "rounds": rounds,
        "patience": 0,
        "batch_size": 32,
        "seed": 1,
        "choose": "domain",
        "shares": shares,
    }
    return mamdr.fit(
        module, market, strategy or DomainNegotiation(outer_lr=1), folder=folder, **settings | more
    )


def by_round(run: Run) -> list[dict[str, float]]:
    told = [event["val"]["domains"] for event in run.events if event["event"] == "round"]
    return [{name: domain["auc"] for name, domain in domains.items()} for domains in told]


def test_each_domain_is_served_by_its_own_best_round(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    rounds = by_round(run)
    best = {name: max(aucs[name] for aucs in rounds) for name in run.data.schema.domains}
    assert run.evaluate("val").aucs == best
    assert run.evaluate("val").mean_auc > max(sum(aucs.values()) / len(aucs) for aucs in rounds)
    (event,) = [event for event in run.events if event["event"] == "own_rounds"]
    for name, told in event["domains"].items():
        assert told == {
            "round": 1 + [aucs[name] for aucs in rounds].index(best[name]),
            "share": 1.0,
            "val_auc": best[name],
        }
    assert len({told["round"] for told in event["domains"].values()}) > 1, (
        "domains that peak together test nothing"
    )
    assert event["val"]["mean_auc"] == run.evaluate("val").mean_auc


def test_its_module_and_its_scores_are_those_of_its_round(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    for domain, scores in run.predict("val"):
        offsets = run.data.val.offsets
        rows = slice(int(offsets[domain]), int(offsets[domain + 1]))
        batch = {name: column[rows] for name, column in run.data.val.columns.items()}
        module = run.module_for(domain)
        with torch.no_grad():
            found = torch.sigmoid(module(batch | {"domain": torch.full((len(scores),), domain)}))
        torch.testing.assert_close(found, torch.from_numpy(scores), rtol=0, atol=1e-6)
    plain = {name: parameters_of(run.strategy.params_for(run.state, d)) for d, name in enumerate("abcd")}
    own = {name: parameters_of(served(run.strategy, run.state, d)[0]) for d, name in enumerate("abcd")}
    assert any(not torch.equal(plain[d][name], own[d][name]) for d in own for name in own[d])


def test_with_shares_no_domain_is_below_shared_in_any_round(tmp_path: Path) -> None:
    strategy = mamdr.strategies.MAMDR(num_helpers=1, specific_lr=1.0)
    run = train(tmp_path / "run", strategy=strategy, shares=SHARES)
    assert run.state.shares == {}, "the share lies in the chosen parameters"
    with_all, aucs = by_round(run), run.evaluate("val").aucs
    assert all(aucs[name] >= max(r[name] for r in with_all) for name in aucs)
    (event,) = [event for event in run.events if event["event"] == "own_rounds"]
    told = event["domains"]
    assert {name: domain["val_auc"] for name, domain in told.items()} == aucs
    assert len({domain["share"] for domain in told.values()}) > 1, "equal shares test nothing"


def test_stopped_and_resumed_it_chooses_as_a_straight_run(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", 6)
    train(tmp_path / "stopped", 2)
    resumed = train(tmp_path / "stopped", 6, resume=True)
    assert same_bits(resumed.state, straight.state)
    assert resumed.state.chosen.keys() == set(range(4))
    market = data()
    module = build("mlp", market.schema, {"embedding": 4, "hidden": (8,), "dropout": 0.0})
    opened = Run.open(tmp_path / "straight", module=module, data=market)
    assert same_bits(opened.state, straight.state)
    assert opened.evaluate("test") == straight.evaluate("test") == train(None, 6).evaluate("test")


@pytest.mark.parametrize("within", [0.0, 0.3, 3.0])
def test_rounds_that_validation_cannot_tell_apart_are_averaged(
    within: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[tuple[float, torch.Tensor]]] = {}
    update = OwnRounds.update

    def watched(
        self: OwnRounds, session: Any, strategy: Strategy, state: Any, metrics: Any, kept: Any
    ) -> None:
        for domain, figures in enumerate(metrics.domains):
            rows = own_rounds._rows(session, domain)
            point = strategy.params_for(replace(state, chosen={}), domain).pull(rows)
            seen.setdefault(domain, []).append((figures.auc, point.flat.clone()))
        update(self, session, strategy, state, metrics, kept)

    monkeypatch.setattr(OwnRounds, "update", watched)
    run = train(tmp_path / "run", mean_within=within)
    counts = []
    for domain, rounds in seen.items():
        labels = run.data.val.labels[run.data.val.offsets[domain] : run.data.val.offsets[domain + 1]]
        positives = int(labels.sum())
        chosen, best = [], -1.0
        for auc, values in rounds:
            near = (
                within * standard_error(max(auc, best), positives, len(labels) - positives) if chosen else 0
            )
            if auc > best + near:
                chosen = [values]
            elif within and auc >= best - near:
                chosen.append(values)
            best = max(best, auc)
        counts.append(len(chosen))
        torch.testing.assert_close(
            run.state.chosen[domain].flat, sum(chosen) / len(chosen), rtol=0, atol=1e-6
        )
    (event,) = [event for event in run.events if event["event"] == "own_rounds"]
    assert [told.get("rounds", 1) for told in event["domains"].values()] == counts
    assert max(counts) == 1 if not within else max(counts) > 1
    assert event["val"]["mean_auc"] == run.evaluate("val").mean_auc


def test_a_mean_of_rounds_goes_on_after_a_stop(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", 6, mean_within=1.0)
    train(tmp_path / "stopped", 3, mean_within=1.0)
    assert same_bits(train(tmp_path / "stopped", 6, mean_within=1.0, resume=True).state, straight.state)


def test_a_mean_of_rounds_wants_rounds_of_a_domains_own() -> None:
    with pytest.raises(ConfigError, match=r"train\.mean_within = 0\.5 with train\.choose = 'run'"):
        train(None, choose="run", mean_within=0.5)


def test_training_does_not_see_what_is_chosen(tmp_path: Path) -> None:
    run, plain = train(tmp_path / "own"), train(tmp_path / "run", choose="run")
    assert by_round(run) == by_round(plain)
    assert plain.state.chosen == {}


def test_a_model_with_running_statistics_is_refused_before_training() -> None:
    market = data()

    class Normed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user = torch.nn.Embedding(market.schema.ids["user_id"], 4)
            self.norm, self.head = torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1)

        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.head(self.norm(self.user(batch["user_id"]))).squeeze(1)

    module = Normed()
    before = module.norm.running_mean.clone()
    with pytest.raises(
        ConfigError, match=r"running statistics \(norm\.num_batches_tracked\); expected a model without"
    ):
        mamdr.fit(module, market, rounds=1, choose="domain")
    assert torch.equal(module.norm.running_mean, before)
