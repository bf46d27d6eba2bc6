"""Settings of training on a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mamdr.config import component

Count = Annotated[int, Field(ge=1, le=100_000)]


@component
class ClusterOptions:
    """What is trained (`units`, `combine`, `staleness`), and on how much.

    Args:
        units: U, walks that share out each walk of the shared parameters over many domains (Domain Negotiation's),
            by domains, dealt anew each round. Says what is trained; 1 is what one process trains.
        combine: what becomes of a row, or of the dense part, that several units moved: the "sum" of their
            displacements, about as long as that of one unit's walk over all legs, or their "mean", shorter by as many
            as there are (docs/cluster.md has both on real data).
        staleness: None waits for all units of a round, and gives the same bits for any number of shards and workers.
            s >= 0 takes each unit's displacement in as it comes, by an outer step of its own, with at most s others
            taken in since that unit began: a result then depends on who was first, and cannot be reproduced.
        shards: P, processes that hold the rows of tables; must divide `buckets`.
        workers: M, processes that walk and own specific parts.
        buckets: into so many shares rows are sorted, once and for all of a run.
        keep_rows: shared rows that a worker keeps from walk to walk while they do not change (in Domain
            Regularization); 0 pulls them anew for each walk.
        cache: off moves the rows of every mini-batch to and from the shards as well, as without the paper's caches: for
            measuring what they save. Trains the same.
        recoveries: deaths of processes that a round may survive.
        start_seconds: how long to wait for a place for a process, or for one to answer that it has begun.
    """

    units: Count = 1
    combine: Literal["mean", "sum"] = "sum"
    staleness: Annotated[int, Field(ge=0)] | None = None
    shards: Count = 1
    workers: Count = 1
    buckets: Count = 960
    keep_rows: Annotated[int, Field(ge=0)] = 1 << 18
    cache: bool = True
    recoveries: Annotated[int, Field(ge=0)] = 8
    start_seconds: Annotated[float, Field(gt=0)] = 120.0
