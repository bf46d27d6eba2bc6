"""Training on combined gradients passes the suite of every strategy; what engine and strategy promise beside it."""

from __future__ import annotations

import pytest

from mamdr.combiners import COMBINERS, PCGrad, WeightedLoss
from mamdr.errors import ConfigError
from mamdr.strategies import Combined, build, describe
from mamdr.testing import StrategyConformance


class TestPCGrad(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(PCGrad())


class TestWeightedLoss(StrategyConformance):
    def strategy(self) -> Combined:
        return Combined(WeightedLoss(lr=0.1), inner_state="fresh", steps=4)


def test_settings_of_combiner_and_walk_lie_side_by_side() -> None:
    strategy = build("pcgrad", {"steps": 3, "inner_state": "fresh"})
    assert strategy == Combined(PCGrad(), inner_state="fresh", steps=3)
    assert describe(strategy) == {"name": "pcgrad", "inner_state": "fresh", "steps": 3}


@pytest.mark.parametrize("name", list(COMBINERS))
def test_a_typo_suggests_from_both(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown key strategy.step; .*Did you mean 'steps'?"):
        build(name, {"step": 3})


@pytest.mark.parametrize("name", list(COMBINERS))
def test_no_combiner_has_a_setting_of_the_strategys(name: str) -> None:
    assert not {"combiner", "inner_state", "steps", "name", "preset"} & set(vars(COMBINERS[name]()))


def test_an_outside_combiner_has_no_name_to_describe() -> None:
    class Mine(PCGrad):
        """Somebody's own."""

    with pytest.raises(ConfigError, match="has no name of its own"):
        describe(Combined(Mine()))
