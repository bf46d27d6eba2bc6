"""Train what a recipe says: the one place where a recipe, data and a folder become a training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mamdr.data.domains import Dataset
from mamdr.errors import ConfigError
from mamdr.training.events import Listener
from mamdr.training.recipe import Recipe
from mamdr.training.run import Run, build_model
from mamdr.training.trainer import Trainer


def train(
    recipe: Recipe,
    data: Dataset,
    folder: Path | None = None,
    *,
    resume: bool = False,
    listeners: Iterable[Listener] = (),
) -> Run:
    """Train a recipe's model on data with its strategy; the run at the round that validation prefers.

    Args:
        recipe: what to train; its model is one of ours.
        data: the data set; test rows are not read.
        folder: where to keep the run; None keeps it in memory.
        resume: go on with the run in `folder`.
        listeners: hear of events.

    Raises: ConfigError where the recipe is for other data or for several units, or the model is not one of ours; else
        as `Trainer.fit`.
    """
    recipe.check_data(data)
    if recipe.cluster.units > 1:
        raise ConfigError(
            f"the recipe shares walks out over {recipe.cluster.units} units, which changes what is trained",
            "one unit on one machine",
            "Train with mamdr cluster train, or --set cluster.units=1",
        )
    trainer = Trainer(
        build_model(recipe.model, data, recipe.train.seed),
        data,
        recipe.strategy,
        recipe.train,
        recipe.walk,
        specific=recipe.specific,
        folder=folder,
        recipe=recipe.trained(),
        listeners=listeners,
    )
    return trainer.fit(resume=resume)
