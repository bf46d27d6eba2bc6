"""What one writes first: FastAPI, a module for each domain in memory, and `model(batch)` in the request's handler."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import polars as pl
import torch
from fastapi import FastAPI
from pydantic import BaseModel

import mamdr


class Ask(BaseModel):
    user: str
    k: int = 10


def create() -> FastAPI:
    """The app on the run that the variable NAIVE_RUN names."""
    torch.set_num_threads(1)
    run = mamdr.Run.open(os.environ["NAIVE_RUN"])
    names, words = run.data.schema.domains, run.data.vocabularies
    modules = {name: run.module_for(name) for name in names}
    items: dict[str, list[str]] = {}
    for number, name in enumerate(names):
        ids = [
            run.data.split(part).unique_ids(number, "item_id").numpy() for part in ("train", "val", "test")
        ]
        known = np.unique(np.concatenate(ids))
        items[name] = [words["item_id"].decode(int(one)) for one in known if one > 1]
    app = FastAPI()

    @app.post("/v1/domains/{domain}/recommend")
    def recommend(domain: str, ask: Ask) -> Any:
        own = items[domain]
        users = words["user_id"].encode(pl.Series([ask.user] * len(own)))
        batch = {
            "user_id": torch.from_numpy(users).long(),
            "item_id": torch.from_numpy(words["item_id"].encode(pl.Series(own))).long(),
            "domain": torch.full((len(own),), names.index(domain)),
        }
        with torch.no_grad():
            scores = torch.sigmoid(modules[domain](batch))
        best = torch.topk(scores, ask.k)
        return {
            "items": [
                {"item": own[place], "score": score}
                for place, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        }

    return app
