"""How much Domain Regularization a round affords by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mamdr.strategies import DomainRegularization, Problem, State
from mamdr.strategies.budget import helpers_of, steps_of
from mamdr.strategies.protocol import Walk
from mamdr.testing import TwoTables, tiny_market, train
from mamdr.testing.lab import at_work, problem_of

SIZES = st.lists(st.integers(0, 5000), min_size=1, max_size=40)


def _problem(sizes: list[int], batch_size: int = 64) -> Problem:
    return Problem(tuple(sizes), lambda domain: (), batch_size)


@given(SIZES, st.integers(1, 5))
def test_steps_are_the_most_that_a_pass_pays_for(sizes: list[int], helpers: int) -> None:
    problem = _problem(sizes)
    batches = [-(-size // 64) for size in sizes if size]
    steps = steps_of("auto", problem, helpers)
    if not batches:
        assert steps is None
        return
    assert steps is not None
    assert steps >= 1
    cost = [2 * helpers * sum(min(s, b) for b in batches) for s in (steps, steps + 1)]
    assert cost[0] <= sum(batches) or steps == 1
    assert cost[1] > sum(batches)


@given(SIZES)
def test_there_are_two_helpers_where_two_are_affordable(sizes: list[int]) -> None:
    batches = [-(-size // 64) for size in sizes if size]
    affordable = 4 * len(batches) <= sum(batches)
    assert helpers_of("auto", _problem(sizes)) == (2 if affordable else 1)


def test_what_is_said_is_taken() -> None:
    problem = _problem([1000, 2000])
    assert helpers_of(5, problem) == 5
    assert (steps_of(7, problem, 2), steps_of(None, problem, 2)) == (7, None)


def test_walks_are_capped_by_it() -> None:
    """Domains of 10 and 30 mini-batches: two helpers, of whom there is one, and legs of 5."""
    module, data = TwoTables(), tiny_market((80, 240))
    strategy = DomainRegularization(num_helpers="auto", helper_steps="auto", own_steps="auto")
    walked: list[Walk] = []
    state: State = train(module, data, strategy, 0)
    with at_work(module, data) as (session, run):

        def noted(walks: list[Walk]) -> object:
            walked.extend(walks)
            return run(walks)

        state = strategy.round(state, problem_of(session), noted)  # type: ignore[arg-type]
    assert [[leg.steps for leg in walk.legs] for walk in walked] == [[5, 5], [5, 5]]
    assert state.samples == 4 * 5 * 8
