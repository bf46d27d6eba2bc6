"""What every strategy must do, whatever it learns."""

from __future__ import annotations

import copy
import tempfile
import unittest
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from mamdr.data.domains import Dataset
from mamdr.engine import WalkOptions
from mamdr.engine.inner import Adam
from mamdr.parameters import LocalStore
from mamdr.strategies import Freeze, Joint, Outcome, State, Strategy, Walk
from mamdr.testing.lab import at_work, parameters_of, problem_of, same_bits, scores, train
from mamdr.testing.market import renumbered, tiny_market
from mamdr.testing.modules import NormedTables, TiedTables, TwoTables
from mamdr.training import checkpoint


class StrategyConformance(ABC):
    """Tests of a strategy: subclass it, name the subclass Test..., return the strategy."""

    unseen_is_shared = True
    """Whether a domain without training rows is served by shared alone (not where specific parts start at random)."""

    order_free = False
    """Whether it makes no difference to a domain which numbers it and the others have. Draws may go by numbers, so this
    is about whole passes without dropout, and about two domains, where there is no choice of helpers."""

    @abstractmethod
    def strategy(self) -> Strategy:
        """The strategy to test."""

    def module(self) -> nn.Module:
        """The module to train; with dropout, so that random draws count."""
        return TwoTables(dropout=0.3)

    def data(self) -> Dataset:
        return tiny_market()

    def _trained(self, rounds: int = 2, jobs: int = 1, state: State | None = None) -> State:
        return train(self.module(), self.data(), self.strategy(), rounds, jobs=jobs, state=state)

    def test_a_round_changes_parameters(self) -> None:
        assert not same_bits(self._trained(0), self._trained(1))

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        assert same_bits(self._trained(), self._trained())

    def test_processes_give_the_bits_of_one(self) -> None:
        straight = self._trained()
        assert same_bits(straight, self._trained(jobs=2))
        assert same_bits(straight, self._trained(jobs=3))

    def test_walks_that_are_handed_in_together_may_run_in_any_order(self) -> None:
        module, data, strategy = self.module(), self.data(), self.strategy()
        with at_work(module, data) as (session, run):

            def backwards(walks: Sequence[Walk]) -> Iterable[Outcome]:
                return [copy.deepcopy(next(iter(run([walk])))) for walk in reversed(walks)][::-1]

            state = strategy.init(State(LocalStore.of(module, session.space), seed=1), problem_of(session))
            state = strategy.round(state, problem_of(session), backwards)
            state.round += 1
        assert same_bits(self._trained(1), state)

    def test_stopping_after_any_round_and_resuming_gives_the_same_bits(self) -> None:
        straight = self._trained(3)
        for stop in (0, 1, 2):
            assert same_bits(straight, self._trained(3 - stop, state=self._trained(stop)))

    def test_a_checkpoint_holds_all_that_was_learned(self) -> None:
        state = self._trained()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(Path(folder) / "state", state, {})
            again, _ = checkpoint.load(Path(folder) / "state", state.space)
        assert same_bits(state, again)
        assert same_bits(self._trained(1, state=state), self._trained(1, state=again))

    def test_results_do_not_depend_on_global_random_state(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(77)
            first = self._trained(1)
            torch.default_generator.manual_seed(78)
            assert same_bits(first, self._trained(1))

    def test_one_domain_alone(self) -> None:
        data = tiny_market((20,))
        state = train(self.module(), data, self.strategy())
        assert torch.isfinite(scores(self.module(), data, self.strategy(), state, 0)).all()

    def test_a_domain_without_training_rows_is_served_by_shared(self) -> None:
        data, strategy = tiny_market((20, 0, 9)), self.strategy()
        state = train(self.module(), data, strategy)
        if self.unseen_is_shared:
            served, shared = parameters_of(strategy.params_for(state, 1)), parameters_of(state.shared)
            assert all(torch.equal(served[name], shared[name]) for name in shared)
        assert torch.isfinite(scores(self.module(), data, strategy, state, 1)).all()

    def test_a_domain_added_later_scores_as_shared(self) -> None:
        sizes = (20, 9, 12)
        state, more = train(self.module(), tiny_market(sizes), self.strategy()), tiny_market((*sizes, 5))
        found = scores(self.module(), more, self.strategy(), state, 3)
        shared = scores(self.module(), more, Joint(), state, 3)
        assert torch.equal(found, shared)

    def test_the_order_of_domains_does_not_matter_where_the_method_says_so(self) -> None:
        if not self.order_free:
            raise unittest.SkipTest("the method does not say so")
        module, options = TwoTables().double(), WalkOptions(batch_size=1000, inner=Adam(lr=0.01))
        data, strategy = tiny_market((40, 26)), self.strategy()
        one = train(module, data, strategy, options=options)
        other = train(module, renumbered(data, [1, 0]), strategy, options=options)
        for domain in range(2):
            here = parameters_of(strategy.params_for(one, domain))
            there = parameters_of(strategy.params_for(other, 1 - domain))
            for name, value in here.items():
                torch.testing.assert_close(there[name], value, rtol=0, atol=1e-9)

    def test_what_is_frozen_for_a_time_stays_and_the_rest_moves(self) -> None:
        before = self._trained()
        name = next(name for name, _ in self.module().named_parameters())
        frozen = Freeze(self.strategy(), frozen=(name,))
        after = train(self.module(), self.data(), frozen, 1, state=before)
        one, other = (parameters_of(state.shared) for state in (before, after))
        assert torch.equal(one.pop(name), other.pop(name))
        moved = any(not torch.equal(one[key], other[key]) for key in one)
        for domain, part in after.specific.items():
            here, there = parameters_of(before.specific[domain]), parameters_of(part)
            assert torch.equal(here.pop(name), there.pop(name))
            moved |= any(not torch.equal(here[key], there[key]) for key in here)
        assert moved

    def test_a_frozen_parameter_stays(self) -> None:
        module, data, strategy = self.module(), self.data(), self.strategy()
        name, frozen = next(module.named_parameters())
        frozen.requires_grad_(False)
        before = frozen.clone()
        with at_work(module, data) as (session, run):
            assert name not in session.space.names
            problem = problem_of(session)
            state = strategy.init(State(LocalStore.of(module, session.space)), problem)
            strategy.round(state, problem, run)
        assert torch.equal(frozen, before)

    def test_a_tied_weight_is_trained_as_one(self) -> None:
        module, strategy = TiedTables(dropout=0.3), self.strategy()
        state = train(module, self.data(), strategy)
        assert [table.owners for table in state.space.tables] == [("user", "item")]
        served = parameters_of(strategy.params_for(state, 0))
        assert not torch.equal(served["user.weight"], module.user.weight)

    def test_running_statistics_are_set(self) -> None:
        """Rows are not scored by the statistics of an untrained module (see docs/architecture.md, "Buffers")."""
        module = NormedTables()
        state = train(module, self.data(), self.strategy(), rounds=1)
        began = dict(module.named_buffers())
        assert not any(torch.equal(began[name], state.buffers[name]) for name in began)
