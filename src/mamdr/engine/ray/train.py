"""Train what a recipe says, on a cluster: the counterpart of `training.train`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mamdr.data.domains import Dataset
from mamdr.engine.ray.actors import cluster
from mamdr.engine.ray.buckets import Buckets
from mamdr.engine.ray.limits import check_options, check_strategy
from mamdr.engine.ray.trainer import ClusterTrainer
from mamdr.training import Recipe, Run
from mamdr.training.events import Listener
from mamdr.training.folder import check_folder
from mamdr.training.run import build_model
from mamdr.training.scoring import check_data


def train(
    recipe: Recipe,
    data: Dataset,
    folder: Path,
    *,
    address: str | None = None,
    resume: bool = False,
    listeners: Iterable[Listener] = (),
) -> Run:
    """Train a recipe's model on a cluster; the run at the round that validation prefers.

    Args:
        recipe: what to train, and on how much (`recipe.cluster`).
        data: the data set, in a folder that every machine sees under the same path.
        folder: where to keep the run; every machine sees it too.
        address: of the cluster; None starts one on this machine, which ends with the training.
        resume: go on with the run in `folder`, with any number of shards and workers.
        listeners: hear of events.

    Raises: ConfigError for a cluster that does not answer, runs other versions, or has too many shards for its buckets;
        TrainingError where there is no room for a process, or too many die; else as `Trainer.fit`.
    """
    recipe.check_data(data)
    options = recipe.cluster
    check_options(recipe.train)
    check_strategy(recipe.strategy)
    Buckets(options.buckets, options.shards)  # what can be found out before anything starts
    check_data(data, recipe.train.monitor)
    check_folder(folder, resume=resume)
    model = build_model(recipe.model, data, recipe.train.seed)
    processes = options.shards + options.workers + 1
    with cluster(address, processes, options.start_seconds) as launcher:
        trainer = ClusterTrainer(
            model,
            data,
            recipe.strategy,
            recipe.train,
            recipe.walk,
            specific=recipe.specific,
            folder=folder,
            recipe=recipe.trained(),
            listeners=listeners,
            cluster=options,
            launcher=launcher,
        )
        return trainer.fit(resume=resume)
