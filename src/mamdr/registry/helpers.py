"""Training rows that travel with a version, so that a domain can join where the training data are not.

Domain Regularization of a new domain walks over other domains' rows first. A version takes along a sample of them, as
a data folder of its own: of up to `domains` domains, drawn at random, up to `rows` training rows each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from mamdr.config import component
from mamdr.data.domains import Dataset, DomainData
from mamdr.data.ragged import Ragged
from mamdr.seeds import generator

Ints = npt.NDArray[np.int64]


@component
class HelperSample:
    """How much goes along.

    Args:
        domains: at most so many, >= 0; with 0 a new domain is walked by itself.
        rows: of each at most so many, >= 1.
        seed: of the draw.
    """

    domains: Annotated[int, Field(ge=0)] = 32
    rows: Annotated[int, Field(ge=1)] = 4096
    seed: Annotated[int, Field(ge=0)] = 1


def sampled(data: Dataset, sample: HelperSample) -> Dataset:
    """A data set of the same schema (without vectors, which the feature storage has) with the sample alone in train."""
    sizes = np.diff(data.train.offsets.numpy())
    able = np.flatnonzero(sizes)
    draw = generator(sample.seed, "helpers")
    chosen = np.sort(draw.choice(able, min(sample.domains, len(able)), replace=False))
    picked = []
    for domain in chosen.tolist():
        begin, size = int(data.train.offsets[domain]), int(sizes[domain])
        own = generator(sample.seed, "helpers", domain).permutation(size)[: sample.rows]
        picked.append(begin + np.sort(own))
    counts = np.zeros(len(sizes), dtype=np.int64)
    counts[chosen] = np.minimum(sizes[chosen], sample.rows)
    rows = np.concatenate([np.empty(0, np.int64), *picked])
    return Dataset(
        data.name,
        replace(data.schema, vectors={}),
        _taken(data.train, rows, counts),
        _taken(data.train, rows[:0], counts * 0),
        _taken(data.train, rows[:0], counts * 0),
        seed=data.seed,
    )


def _taken(part: DomainData, rows: Ints, counts: Ints) -> DomainData:
    """These rows of a split, of which each domain has so many."""
    where = torch.from_numpy(rows)
    columns = {name: column.index_select(0, where) for name, column in part.columns.items()}
    lists = {name: Ragged(column.values, column.starts)[rows] for name, column in part.lists.items()}
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    return DomainData(columns, part.labels.index_select(0, where), offsets, lists)
