"""The cases of the benchmarks with mamdr: the same model and tables as naive.py, trained by the library's defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import models
from benchmarks.harness import Worker
from benchmarks.models import HIDDEN
from benchmarks.naive import BATCH, LR
from benchmarks.shapes import WIDTH, Table
from mamdr.data.domains import Dataset, Schema
from mamdr.engine import Session, Walker, WalkOptions, choose, compiled, inner, trace
from mamdr.engine.choose import Engine
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.parameters import LocalStore
from mamdr.strategies import MAMDR, Alternate, DomainRegularization, Problem, State, Strategy

MB = 2**20


def write(table: Table, folder: Path, validation: float = 0.0) -> None:
    """Write a table twice: as plain arrays for everyone, and as a data folder of mamdr's.

    Validation rows are a random share of the train rows, four at least: what is timed does not learn anything.
    """
    table.save(folder)
    rows = {"user_id": table.user, "item_id": table.item, "domain": table.domain, "label": table.label}
    few = {name: values[:4] for name, values in rows.items()}
    names = [f"d{d}" for d in range(len(table.sizes))]
    ids = {"user_id": table.users, "item_id": table.items}
    picked = np.random.default_rng(0).permutation(len(table))[: max(4, round(validation * len(table)))]
    val = {name: values[picked] for name, values in rows.items()}
    data = Dataset.from_arrays(table.name, names, {"train": rows, "val": val, "test": few}, ids)
    data.save(folder / "dataset", overwrite=True)


def model(table: Table, schema: Schema, dropout: float, trainable: bool | None) -> MLP:
    """The library's own MLP with the weights of models.build: the same function, multiplied in parts."""
    plain = models.build(table, dropout, trainable)
    tables = {"user_id": plain.user, "item_id": plain.item}
    frozen = {name: part.weight.detach() for name, part in tables.items() if not part.weight.requires_grad}
    ours = MLP(schema, MLPConfig(embedding=WIDTH, hidden=models.HIDDEN, dropout=dropout), frozen)
    linear = [part for part in plain.layers if isinstance(part, nn.Linear)]
    rows = [tables[name] for name in ours.inputs.columns] + [plain.domain]
    pairs = [*zip(ours.inputs.tables, rows, strict=True), (ours.first, linear[0])]
    pairs += zip([part for part in ours.layers if isinstance(part, nn.Linear)], linear[1:], strict=True)
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    return ours


class Ours:
    """A strategy at work on a written table, round after round."""

    def __init__(
        self,
        folder: str,
        strategy: Strategy,
        dropout: float,
        trainable: bool | None = None,
        jobs: int = 1,
        engine: Engine = "auto",
        device: str = "cpu",
    ) -> None:
        torch.set_num_threads(1)
        data = Dataset.load(Path(folder) / "dataset")
        counts = np.load(Path(folder) / "counts.npy")
        self.strategy, self.folder = strategy, Path(folder)
        self.model = model(_without_rows(folder, counts, data), data.schema, dropout, trainable).to(device)
        self.space = trace(self.model, data.schema)
        options = WalkOptions(batch_size=BATCH, inner=inner.Adam(lr=LR))
        self.session = Session(self.model, self.space, data, options)
        compiled.load()  # as training on many rows does, for tables of few, whose process tells what libraries take
        walker = Walker(self.session.__enter__())
        self.run = choose(walker, engine, jobs)
        sizes = tuple(data.train.size(d) for d in range(len(data.schema.domains)))
        self.problem = Problem(sizes, self.session.rows.of, self.session.options.batch_size)
        self.state = strategy.init(State(LocalStore.of(self.model, self.space), seed=1), self.problem)

    def round(self) -> dict[str, Any]:
        before = self.state.samples
        self.state = self.strategy.round(self.state, self.problem, self.run)
        self.state.round += 1
        return {"samples": self.state.samples - before, **self.memory()}

    def memory(self) -> dict[str, float]:
        """MB that must be held: data, parameters (shared, specific and frozen), and the largest walk's working set."""
        columns = self.session.data.train
        data = sum(c.numel() * c.element_size() for c in (*columns.columns.values(), columns.labels))
        values = sum(p.numel() for p in self.model.parameters() if not p.requires_grad)
        values += self.state.shared.dense.numel() + sum(t.numel() for t in self.state.shared.tables)
        values += sum(point.flat.numel() for point in self.state.specific.values())
        touched = self.session.rows.union(range(len(self.problem.sizes)))
        # base, work and Adam's two moments; a gradient for the dense part and for tables of few rows
        walk = 4 * self.space.size(touched) + self.space.dense_size
        lazy, device = self.session.options.lazy, self.space.device
        tables = zip(touched, self.space.tables, strict=True)
        sizes = [len(rows) * table.dim for rows, table in tables]
        walk += sum(size for size in sizes if not lazy(size, device))
        # a batch's inputs, each layer's outputs, and the two gradients that one layer's backward pass has at once
        layers = [2 * WIDTH, *HIDDEN]
        walk += BATCH * (sum(layers) + layers[0] + layers[1])
        return {"data_mb": data / MB, "parameters_mb": values * 4 / MB, "walk_mb": walk * 4 / MB}


def _without_rows(folder: str, counts: np.ndarray[Any, Any], data: Dataset) -> Table:
    """The table's counts and features; its interactions stay in the memory-mapped data folder."""
    features = {name: _maybe(Path(folder) / f"{name}.npy") for name in ("user_features", "item_features")}
    nothing = np.zeros(0, dtype=np.int32)
    domain = np.arange(len(data.schema.domains), dtype=np.int32)
    label = np.zeros(0, dtype=np.float32)
    return Table("", nothing, nothing, domain, label, int(counts[0]), int(counts[1]), **features)


def _maybe(path: Path) -> Any:
    return np.load(path) if path.exists() else None


def prepare_round(folder: str, helpers: int, dropout: float, jobs: int = 1) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: rounds of MAMDR."""
    return Ours(folder, MAMDR(num_helpers=helpers), dropout, jobs=jobs).round


def prepare_pair(folder: str, helpers: int, dropout: float) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: the same round in two processes at once, which share nothing but the machine."""
    own = prepare_round(folder, helpers, dropout)
    other = Worker(
        "benchmarks.ours:prepare_round", {"folder": folder, "helpers": helpers, "dropout": dropout}
    )

    def run() -> dict[str, Any]:
        other.start()
        figures = own()
        other.answer()
        return figures

    return run


def prepare_alternate(folder: str, trainable: bool, dropout: float) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: passes of Alternate training over all domains."""
    return Ours(folder, Alternate(), dropout, trainable).round


def prepare_steps(folder: str) -> Callable[[], dict[str, Any]]:
    """A case for worker.py: rounds of Domain Regularization with one helper; tells the number of steps."""
    ours = Ours(folder, DomainRegularization(num_helpers=1), dropout=0.0)
    steps = 2 * sum(-(-size // BATCH) for size in ours.problem.sizes)

    def run() -> dict[str, Any]:
        return {**ours.round(), "steps": steps}

    return run
