"""A version, loaded: a module without tables, and parameters that are read from its files row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mamdr import models
from mamdr.data.schema import Schema
from mamdr.data.storage import Content
from mamdr.errors import CheckpointError, ModelError
from mamdr.parameters import Overlay, Point, Space, Store
from mamdr.registry.layout import (
    KINDS,
    by_domain,
    grown_buffer,
    load_array,
    read_parts,
    rows_alone,
    space_of,
    space_of_kind,
)  # fmt: skip
from mamdr.registry.registry import Registry
from mamdr.registry.store import Grown, Parts
from mamdr.strategies import MAMDR, State, Strategy, served
from mamdr.training.recipe import Recipe


@dataclass(eq=False)
class Version:
    """Parameters that score.

    Domains are numbered as the version was trained; the number after the last one stands for every domain that came
    later. Its row of each table of domains is the mean of theirs, in a buffer that has a row a domain as well, and its
    specific part is empty: such a domain is served by shared alone.

    Args:
        name: of the version.
        manifest: what it says of itself.
        module: computes on points; its own tables hold nothing.
        space: the module's.
        schema: the data's, with one domain more, of the name "".
        strategy: knows which parameters serve a domain.
        state: all parameters; `rows` is the same without dense values.
        numbers: domain -> its number.
    """

    name: str
    manifest: Content
    module: nn.Module
    space: Space
    schema: Schema
    strategy: Strategy
    state: State
    rows: State
    numbers: dict[str, int] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Of the data that its ids are coded by."""
        return str(self.manifest["data"]["fingerprint"])

    @property
    def newcomer(self) -> int:
        """The number of a domain that came later."""
        return len(self.schema.domains) - 1

    def served(self, domain: str) -> Served:
        """What answers for a domain."""
        number = self.numbers.get(domain, self.newcomer)
        own = any(number in getattr(self.state, kind) for kind in ("specific", "tuned", "chosen"))
        return Served(
            self.name,
            self,
            number,
            served(self.strategy, self.state, number),
            served(self.strategy, self.rows, number),
            own,
        )


@dataclass(frozen=True, eq=False)
class Served:
    """One domain's parameters in a version.

    Args:
        version: the name to answer by.
        base: the version that it stands on.
        number: the domain's.
        stores: its parameters, mostly one store's; of several the mean probability is its score.
        rows: for each of them, its rows without dense values.
        own: whether it has a part of its own.
        users, items: ids of raw values that came with the domain.
    """

    version: str
    base: Version
    number: int
    stores: list[Store]
    rows: list[Store]
    own: bool
    users: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Joined:
    """The version of one domain that joined another version.

    Args:
        name: of the version.
        manifest: what it says of itself.
        base: what it stands on.
        part: its specific part, in the rows-and-dense space of `base`; `share` of it serves.
        users, items: ids of raw values that came with the domain.
    """

    name: str
    manifest: Content
    base: Version
    part: Point
    share: float
    users: Mapping[str, int]
    items: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        return self.base.fingerprint

    def served(self, domain: str) -> Served:
        """What answers for a domain: its own part, or for any other domain what the base has."""
        if domain != self.manifest["domain"]:
            return self.base.served(domain)
        number, base = self.base.newcomer, self.base
        space = rows_alone(base.space).part
        rows = Point(space, self.part.ids, self.part.flat[self.part.space.dense_size :])
        return Served(
            self.name,
            base,
            number,
            [Overlay(base.state.shared, {number: self.part}, number, share=self.share)],
            [Overlay(base.rows.shared, {number: rows}, number, share=self.share)],
            True,
            self.users,
            self.items,
        )


def load(registry: Registry, version: str, schema: Schema, *, checked: bool = True) -> Version:
    """Load a version of all domains.

    Args:
        schema: the feature storage's, whose vectors the model is built from.
        checked: compare every byte with the manifest first.

    Raises:
        CheckpointError: absent, damaged, a single domain's, or made from other data.
        ModelError: a model with frozen parameters that neither the version nor the data hold.

    Cost: reading and hashing its bytes once; in memory the module's dense values, and what the system keeps of files.
    """
    content = registry.verify(version) if checked else registry.manifest(version)
    if content["kind"] != "full":
        raise CheckpointError(f"{version} is a single domain's", "one of all domains", "Load it by its base")
    folder = registry.path(version) / "parameters"
    saved = Schema.from_json(content["schema"], schema.vectors)
    if replace(schema, vectors={}) != replace(saved, vectors={}):
        raise CheckpointError(
            f"{version} was trained on other data than the feature storage holds",
            "a storage made from the data of the version",
            "Make one from the version's data folder, and name it with --features",
        )
    grown = replace(saved, domains=(*saved.domains, ""))
    recipe = content["recipe"]
    module, space = _module(recipe["model"], grown, space_of(content["space"]), content["seed"])
    shared, alone = _shared(folder, space)
    buffers = _buffers(folder, content["buffers"], module)
    parts = {kind: read_parts(folder / kind, space_of_kind(kind, space)) for kind in KINDS}
    shares = {int(domain): float(share) for domain, share in content["shares"]}
    numbers = {name: number for number, name in enumerate(saved.domains)}
    return Version(
        version,
        content,
        module,
        space,
        grown,
        _serving(Recipe.parse(recipe).strategy),
        _state(shared, {kind: whole for kind, (whole, _) in parts.items()}, buffers, shares),
        _state(alone, {kind: rows for kind, (_, rows) in parts.items()}, buffers, shares),
        numbers,
    )


def _serving(strategy: Strategy) -> Strategy:
    """The strategy as it is asked for a domain's parameters with each request: MAMDR makes its pair anew each time."""
    return strategy.parts if isinstance(strategy, MAMDR) else strategy


def _state(
    shared: Grown, parts: Mapping[str, Parts], buffers: dict[str, Tensor], shares: dict[int, float]
) -> State:
    chosen, further = (cast(dict[int, Point], parts[kind]) for kind in ("chosen", "further"))  # only read
    return State(
        shared,
        parts["specific"],
        buffers=buffers,
        tuned=parts["tuned"],
        shares=shares,
        chosen=chosen,
        further=further,
    )


def _shared(folder: Path, space: Space) -> tuple[Grown, Grown]:
    """The shared parameters, memory-mapped, and their rows alone."""
    count = range(len(space.tables))
    dense = torch.from_numpy(load_array(folder / "dense.npy"))
    tables = [torch.from_numpy(load_array(folder / f"table-{t}.npy")) for t in count]
    beyond = [torch.from_numpy(load_array(folder / f"beyond-{t}.npy")) for t in count]
    return Grown(space, dense, tables, beyond), Grown(rows_alone(space), dense[:0], tables, beyond)


def _module(table: dict[str, Any], schema: Schema, saved: Space, seed: int) -> tuple[nn.Module, Space]:
    """The module for a schema of one domain more, without memory for tables, and its space."""
    settings = dict(table)
    with torch.device("meta"):
        module = models.build(settings.pop("name"), schema, settings, seed=seed)
    tables = tuple(replace(t, rows=t.rows + by_domain(t)) for t in saved.tables)
    space = replace(saved, tables=tables)
    dense = {part.name for part in space.dense}
    known = dense | {table.name for table in tables}
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if not parameter.is_meta:
            continue
        if name in dense:
            owner, _, leaf = name.rpartition(".")
            empty = torch.empty(parameter.shape, dtype=space.dtype)
            module.get_submodule(owner)._parameters[leaf] = nn.Parameter(empty)
        elif name not in known and not parameter.requires_grad:
            raise ModelError(
                f"the frozen parameter {name} is nowhere saved", "values that came with the data", "Train it"
            )
    for name, buffer in list(module.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        module.get_submodule(owner)._buffers[leaf] = torch.zeros(buffer.shape, dtype=buffer.dtype)
    return module.eval(), space


def _buffers(folder: Path, names: list[str], module: nn.Module) -> dict[str, Tensor]:
    held = dict(module.named_buffers())
    values = {}
    for number, name in enumerate(names):
        saved = torch.from_numpy(load_array(folder / f"buffer-{number}.npy"))
        values[name] = grown_buffer(saved, held[name])
        held[name].copy_(values[name])
    return values
