"""Training in one call: what its settings mean, and that its runs can be resumed and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import mamdr
from mamdr.engine import WalkOptions, inner
from mamdr.errors import ConfigError
from mamdr.parameters import Specific
from mamdr.strategies import MAMDR, DomainNegotiation, DomainRegularization, Strategy, Then
from mamdr.testing import TwoTables, same_bits, tiny_market
from mamdr.training import Run, TrainOptions, fit


def fitted(strategy: Strategy | None = None, *, module: nn.Module | None = None, **settings: Any) -> Run:
    settings = {"rounds": 2, "patience": 0, "batch_size": 8, **settings}
    return fit(module or TwoTables(dropout=0.3), tiny_market(), strategy, **settings)


def test_the_safe_mamdr_is_the_default() -> None:
    assert fitted(rounds=1).strategy == MAMDR.safe()


def test_lr_is_adams() -> None:
    assert fitted(rounds=1, lr=0.02).walk == WalkOptions(batch_size=8, inner=inner.Adam(lr=0.02))
    assert fitted(rounds=1, inner=inner.SGD(lr=0.5)).walk.inner == inner.SGD(lr=0.5)


def test_single_settings_equal_classes_of_them() -> None:
    single = fitted(seed=3, rows="dense")
    classes = fit(
        TwoTables(dropout=0.3),
        tiny_market(),
        options=TrainOptions(rounds=2, patience=0, seed=3),
        walk=WalkOptions(batch_size=8, rows="dense"),
    )
    assert same_bits(single.state, classes.state)


def test_what_is_named_singly_counts() -> None:
    walk = WalkOptions(batch_size=8, inner=inner.SGD(lr=0.5))
    run = fitted(options=TrainOptions(rounds=5, seed=9), walk=walk, rounds=1, batch_size=16)
    assert (run.info["last_round"], run.info["seed"]) == (1, 9)
    assert run.walk == WalkOptions(batch_size=16, inner=inner.SGD(lr=0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 3}, "unknown setting 'epochs'; expected one of "),
        ({"round": 3}, "unknown setting 'round'; .* Did you mean 'rounds'?"),
        ({"rounds": 0}, "train.rounds = 0; expected greater than or equal to 1"),
        ({"rounds": "3"}, "train.rounds = '3'; expected a number"),
        ({"batch_size": 0}, "walk.batch_size = 0; expected greater than or equal to 1"),
        ({"lr": 0}, "inner.lr = 0; expected greater than 0"),
        ({"rank": 0}, "specific.rank = 0; expected greater than or equal to 1"),
        ({"specific": ["item.weigth"]}, ".*Did you mean 'item.weight'?"),
        ({"specific": lambda name: False}, "specific.parameters = \\[\\]; expected at least one name"),
        ({"resume": True}, "resume without a folder"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        fitted(**settings)
    assert "\n" not in str(caught.value)


class Mine(DomainNegotiation):
    """A strategy of the user's own, whose words for itself change from process to process."""

    __repr__ = object.__repr__


@pytest.mark.parametrize(
    "strategies",
    [
        (MAMDR(num_helpers=1), MAMDR(num_helpers=1)),
        (Mine(), Mine()),
        tuple(Then(DomainNegotiation(), DomainRegularization(num_helpers=1)) for _ in range(2)),
    ],
    ids=["ours", "own", "then"],
)
def test_a_run_of_your_own_goes_on_and_opens(strategies: tuple[Strategy, Strategy], tmp_path: Path) -> None:
    one, other = strategies
    straight = fitted(one, folder=tmp_path / "straight", rounds=3)
    fitted(one, folder=tmp_path / "run", rounds=1)
    stopped = fitted(other, folder=tmp_path / "run", rounds=3, resume=True)
    assert same_bits(straight.state, stopped.state)
    again = Run.open(tmp_path / "run", module=TwoTables(), data=tiny_market(), strategy=other)
    assert again.evaluate("test") == straight.evaluate("test")
    assert again.info["model"] == "custom"


def test_a_strategy_with_a_name_need_not_be_given(tmp_path: Path) -> None:
    run = fitted(MAMDR(num_helpers=1, outer=mamdr.parameters.outer.Adam()), folder=tmp_path / "run")
    again = Run.open(tmp_path / "run", module=TwoTables(), data=tiny_market())
    assert again.strategy == run.strategy


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"specific": "dense", "rank": 1}, {"hidden.weight", "hidden.bias", "logit.weight", "logit.bias"}),
        ({"specific": ["item.*"]}, {"item.weight"}),
        ({"specific": lambda name: name.endswith("bias")}, {"hidden.bias", "logit.bias"}),
        ({"specific": Specific("logit.*", rank=3)}, {"logit.weight", "logit.bias"}),
    ],
)
def test_what_a_domain_may_keep_lies_in_the_folder(
    settings: dict[str, Any], names: set[str], tmp_path: Path
) -> None:
    straight = fitted(folder=tmp_path / "straight", rounds=3, **settings)
    assert straight.space.specific == names
    fitted(folder=tmp_path / "run", rounds=1, **settings)
    stopped = fitted(folder=tmp_path / "run", rounds=3, resume=True, **settings)
    assert same_bits(straight.state, stopped.state)
    again = Run.open(tmp_path / "run", module=TwoTables(), data=tiny_market())
    assert again.space == straight.space
    assert again.evaluate("test") == straight.evaluate("test")
    with pytest.raises(mamdr.errors.CheckpointError, match="was trained with specific"):
        fitted(folder=tmp_path / "run", resume=True, specific="user.*")


def test_another_strategy_cannot_go_on(tmp_path: Path) -> None:
    fitted(DomainNegotiation(), folder=tmp_path / "run", rounds=1)
    with pytest.raises(mamdr.errors.CheckpointError, match=r"strategy.outer_lr = 0\.1, the recipe says 0\.5"):
        fitted(DomainNegotiation(outer_lr=0.5), folder=tmp_path / "run", resume=True)


def test_the_given_module_is_trained() -> None:
    module = TwoTables(dropout=0.3)
    before = module.user.weight.detach().clone()
    run = fitted(module=module)
    assert run.module is module
    assert not (module.user.weight == before).all()
