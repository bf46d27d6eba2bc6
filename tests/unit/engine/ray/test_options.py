"""What a cluster refuses before anything starts."""

from __future__ import annotations

import pytest

from mamdr.engine.ray.trainer import check_options, check_strategy
from mamdr.errors import ConfigError
from mamdr.strategies import (
    MAMDR,
    Alternate,
    DomainNegotiation,
    DomainRegularization,
    Finetune,
    Strategy,
    Then,
)
from mamdr.training import TrainOptions


@pytest.mark.parametrize(
    "strategy",
    [
        DomainNegotiation(averaging=0.5),
        MAMDR(averaging=0.5),
        Finetune(after=Alternate(averaging=0.5)),
        Then(DomainNegotiation(averaging=0.5), DomainRegularization()),
    ],
)
def test_a_mean_of_rounds_is_for_one_machine(strategy: Strategy) -> None:
    with pytest.raises(ConfigError, match=r"strategy.averaging = 0.5 on a cluster; expected 0"):
        check_strategy(strategy)


@pytest.mark.parametrize(
    "strategy", [MAMDR(backoff=True), Finetune(after=DomainRegularization(backoff=True))]
)
def test_rests_of_dropped_parts_are_for_one_machine(strategy: Strategy) -> None:
    with pytest.raises(ConfigError, match=r"strategy.backoff = true on a cluster"):
        check_strategy(strategy)


@pytest.mark.parametrize("strategy", [MAMDR(), Then(DomainNegotiation(), DomainRegularization())])
def test_others_train_there(strategy: Strategy) -> None:
    check_strategy(strategy)


def test_shrinking_is_for_one_machine() -> None:
    with pytest.raises(ConfigError, match=r"train.shrink = true on a cluster"):
        check_options(TrainOptions(shares=(0.0, 1.0), shrink=True))
    check_options(TrainOptions(shares=(0.0, 1.0)))
