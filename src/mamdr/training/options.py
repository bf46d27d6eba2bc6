"""Settings of the outer loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mamdr.config import component
from mamdr.engine import WalkOptions
from mamdr.engine.choose import Engine
from mamdr.errors import ConfigError
from mamdr.strategies.protocol import SEATS

Monitor = Literal["mean_auc", "weighted_auc", "pooled_auc"]


@component
class TrainOptions:
    """How long to train and how to choose the round that is kept.

    Args:
        rounds: outer iterations at most, >= 1.
        patience: rounds without a better validation figure before stopping; 0 never stops early.
        monitor: the validation figure that chooses; the mean over domains, unweighted, as in the authors' code.
        seed: from which every draw of the run comes.
        jobs: processes that walk at once; results do not depend on it.
        engine: who walks: "sequential" one walk after another; "processes" in `jobs` processes, with the same bits;
            "batched" many independent walks in lock-step, equal up to the order of float additions (`engine.batched`);
            "auto" as `engine.choose` says.
        engine_mb: MB that walks in lock-step may take at once; None is 1,024, and on a GPU a quarter of what is free
            there if that is more.
        device: where the module computes, "cpu" or a torch device such as "cuda:0" (jobs must be 1 there).
        conflict_every: record how much domains conflict every so many rounds, and at the start; 0 never does. Costs a
            forward and a backward pass over the training rows (of at most 200 domains) each time.
        shares: at the end, serve each domain with that share λ_i of its specific part, of these, with which its
            validation AUC is highest (the smallest of several); with 0 among them no domain is below the shared
            parameters on validation. Empty leaves all at 1. Costs a pass over the validation rows for each share.
        shrink: choose the shares after each round, and train on from λ_i θ_i: parts that over-fit do not grow from
            round to round, and when to stop and which round is best go by what is served.
        choose: "run" serves every domain by the round of the run's highest `monitor`; "domain" serves each by the round
            (and, with `shares`, by the share there) of its own highest validation AUC. When to stop is the same.
            Costs P values and its own rows for each domain (`training.own_rounds`).
        mean_within: with `choose` "domain", serve a domain with the mean of those of its rounds whose validation AUC is
            at most so many standard errors from its highest: rounds that its validation rows cannot tell apart. 0 for
            the best alone. Costs nothing more.
        snapshots: with `choose` "domain", serve a domain with the mean score of so many of its rounds at most, those
            that its validation AUC is highest with (`training.snapshots`). `mean_within` must be 0 then. Costs P
            values and its own rows for each of them, a pass over the validation rows a round, and so many forward
            passes wherever the domain is scored.
        penalty_from: share of `walk.embedding_l2` in the first round, from where it grows by one factor a round. A
            strong penalty holds rows down before anything is learned, and training is slow; one that grows costs no
            time, and ends as strong (as a prior's weight is annealed: Bowman et al. 2016, section 3.1; Liang et al.
            2018, "Selecting β"). 1 for all of it from the first round.
        penalty_rounds: rounds until all of the penalty holds; the first of them has `penalty_from`.
    """

    rounds: Annotated[int, Field(ge=1)] = 50
    patience: Annotated[int, Field(ge=0)] = 3
    monitor: Monitor = "mean_auc"
    seed: Annotated[int, Field(ge=0)] = 1
    jobs: Annotated[int, Field(ge=1, le=1024)] = 1
    engine: Engine = "auto"
    engine_mb: Annotated[int, Field(ge=1)] | None = None
    device: str = "cpu"
    conflict_every: Annotated[int, Field(ge=0)] = 0
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    shrink: bool = False
    choose: Literal["run", "domain"] = "run"
    mean_within: Annotated[float, Field(ge=0, le=3)] = 0.0
    snapshots: Annotated[int, Field(ge=1, le=SEATS)] = 1
    penalty_from: Annotated[float, Field(gt=0, le=1)] = 1.0
    penalty_rounds: Annotated[int, Field(ge=1)] = 20

    def hold(self, round: int) -> float:
        """Share of the penalty in the round after so many, in [penalty_from, 1]."""
        return float(self.penalty_from ** max(0.0, 1 - round / self.penalty_rounds))


def check_options(options: TrainOptions, walk: WalkOptions) -> None:
    """Raise ConfigError for settings that do not go together, or of which one would do nothing."""
    if options.device != "cpu" and options.jobs > 1:
        raise ConfigError(f"jobs = {options.jobs} on {options.device}", "jobs = 1", "Set train.jobs to 1")
    if options.shrink and not options.shares:
        raise ConfigError(
            "train.shrink without train.shares",
            "shares to choose from",
            "Set train.shares to [0.0, 0.5, 1.0]",
        )
    if options.mean_within and options.choose != "domain":
        raise ConfigError(
            f"train.mean_within = {options.mean_within:g} with train.choose = {options.choose!r}",
            "rounds that a domain chooses for itself",
            "Set train.choose to 'domain', or train.mean_within to 0",
        )
    if options.snapshots > 1 and (options.choose != "domain" or options.mean_within):
        other = "choose" if options.choose != "domain" else "mean_within"
        raise ConfigError(
            f"train.snapshots = {options.snapshots} with train.{other} = {getattr(options, other)!r}",
            "rounds that a domain chooses for itself, each by itself",
            "Set train.choose to 'domain' and train.mean_within to 0, or train.snapshots to 1",
        )
    if options.penalty_from < 1 and not walk.embedding_l2:
        raise ConfigError(
            f"train.penalty_from = {options.penalty_from:g} with walk.embedding_l2 = 0",
            "a penalty that can grow",
            "Set walk.embedding_l2, or train.penalty_from to 1",
        )
