"""Who walks a run's walks, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from mamdr.engine.batched import BUDGET, Batched
from mamdr.engine.processes import Processes
from mamdr.engine.sequential import Sequential
from mamdr.engine.walk import Walker
from mamdr.errors import ConfigError
from mamdr.strategies.protocol import Run

Engine = Literal["auto", "sequential", "processes", "batched"]


def _ignored(note: str) -> None:
    """Nobody listens."""


def choose(
    walker: Walker,
    engine: Engine,
    jobs: int = 1,
    budget_mb: int | None = None,
    told: Callable[[str], None] = _ignored,
) -> Run:
    """The engine of this name.

    Args:
        walker: walks.
        engine: "auto" is "processes" with several jobs, "batched" on a GPU, where a step of a few rows costs what it
            takes to ask for it, and "sequential" else: on one core of a CPU lock-step was never faster (see
            docs/performance.md).
        jobs: processes.
        budget_mb: what walks in lock-step may take, MB; None is 1,024, or more on a GPU with room (`TrainOptions`).
        told: hears what an engine has to say to a user.

    Raises:
        ConfigError: several jobs for an engine of one process.
    """
    if engine in ("sequential", "batched") and jobs > 1:
        raise ConfigError(
            f"engine {engine!r} with {jobs} jobs",
            "jobs = 1, or the engine processes",
            "Change one of the two",
        )
    if engine == "processes" or jobs > 1:
        return Processes(walker, jobs)
    if engine == "batched" or (engine == "auto" and walker.session.space.device.type != "cpu"):
        device = walker.session.space.device
        return Batched(walker, budget_mb << 20 if budget_mb else _room(device), told)
    return Sequential(walker)


def _room(device: torch.device) -> int:
    """Bytes that walks in lock-step may take where nobody has said."""
    return max(BUDGET, torch.cuda.mem_get_info(device)[0] // 4) if device.type == "cuda" else BUDGET
