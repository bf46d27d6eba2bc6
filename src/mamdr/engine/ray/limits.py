"""What only one machine can do, told before anything starts."""

from __future__ import annotations

from mamdr.errors import ConfigError
from mamdr.strategies import Strategy, Then
from mamdr.training.options import TrainOptions


def check_options(options: TrainOptions) -> None:
    """Raise ConfigError for settings that a cluster has no use for."""
    if options.device != "cpu" or options.jobs > 1:
        found = f"train.device = {options.device!r}, train.jobs = {options.jobs}"
        raise ConfigError(found, "cpu and 1 on a cluster", "Take more workers instead")
    if options.engine not in ("auto", "sequential"):
        raise ConfigError(
            f"train.engine = {options.engine!r} on a cluster", "'auto'", "Take more workers instead"
        )
    if options.choose != "run":
        raise ConfigError(
            f"train.choose = {options.choose!r} on a cluster",
            "'run'",
            "Train on one machine, or choose by run",
        )
    if options.shrink:
        raise ConfigError(
            "train.shrink = true on a cluster, whose workers hold the specific parts",
            "false",
            "Train on one machine, or choose shares at the end",
        )


def check_strategy(strategy: Strategy) -> None:
    """Raise ConfigError for what only one machine can do: a lead over the mean of rounds is a copy of every table, and
    what drops parts (`train.shrink`) is not there."""
    within = [getattr(strategy, name) for name in ("after", "of") if hasattr(strategy, name)]
    for part in (*within, *(strategy.parts if isinstance(strategy, Then) else ())):
        check_strategy(part)
    averaging = getattr(strategy, "averaging", 0.0)
    if averaging:
        raise ConfigError(
            f"strategy.averaging = {averaging:g} on a cluster",
            "0",
            "Train on one machine, or average by a smaller outer_lr",
        )
    if getattr(strategy, "backoff", False):
        raise ConfigError(
            "strategy.backoff = true on a cluster, where no part is ever dropped",
            "false",
            "Leave it out, or train on one machine",
        )
