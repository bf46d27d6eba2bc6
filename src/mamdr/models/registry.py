"""Models by the name that a recipe uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mamdr.config import lookup, parse
from mamdr.data.domains import Schema
from mamdr.errors import ConfigError
from mamdr.models.adasparse import AdaSparse, AdaSparseConfig
from mamdr.models.autoint import AutoInt, AutoIntConfig
from mamdr.models.cgc import CGC, CGCConfig
from mamdr.models.deepfm import DeepFM, DeepFMConfig
from mamdr.models.features import apart, choose
from mamdr.models.hinet import HiNet, HiNetConfig
from mamdr.models.m2m import M2M, M2MConfig
from mamdr.models.mlora import MLoRA, MLoRAConfig
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.models.mmoe import MMOE, MMOEConfig
from mamdr.models.neurfm import NeurFM, NeurFMConfig
from mamdr.models.pepnet import PEPNet, PEPNetConfig
from mamdr.models.ple import PLE, PLEConfig
from mamdr.models.sar_net import SARNet, SARNetConfig
from mamdr.models.shared_bottom import SharedBottom, SharedBottomConfig
from mamdr.models.star import STAR, STARConfig
from mamdr.models.wdl import WDL, WDLConfig
from mamdr.seeds import derive


def _mlora(schema: Schema, config: MLoRAConfig) -> MLoRA:
    """The base is drawn first: it starts as it would by itself."""
    table = dict(config.base)
    name = table.pop("name")
    base = lookup(MODELS, name, "model")[1](schema, configure(name, table, "model.base"))
    return MLoRA(
        base, len(schema.domains), rank=config.rank, reduction=config.reduction, layers=config.layers
    )


MODELS: dict[str, tuple[Callable[..., Any], Callable[..., nn.Module]]] = {
    "mlp": (MLPConfig, MLP),
    "wdl": (WDLConfig, WDL),
    "neurfm": (NeurFMConfig, NeurFM),
    "autoint": (AutoIntConfig, AutoInt),
    "deepfm": (DeepFMConfig, DeepFM),
    "shared_bottom": (SharedBottomConfig, SharedBottom),
    "mmoe": (MMOEConfig, MMOE),
    "cgc": (CGCConfig, CGC),
    "ple": (PLEConfig, PLE),
    "star": (STARConfig, STAR),
    "pepnet": (PEPNetConfig, PEPNet),
    "m2m": (M2MConfig, M2M),
    "adasparse": (AdaSparseConfig, AdaSparse),
    "sar_net": (SARNetConfig, SARNet),
    "hinet": (HiNetConfig, HiNet),
    "mlora": (MLoRAConfig, _mlora),
}
"""For each name, the settings and the module made of a schema and the settings."""


def build(
    name: str, schema: Schema, settings: Mapping[str, Any] | None = None, *, seed: int = 0
) -> nn.Module:
    """The module that a recipe's `[model]` table describes, with first values drawn from the seed.

    Every model takes a table `features` among its settings (see `mamdr.models.features.FeaturesConfig`).

    Raises:
        ConfigError: an unknown name or key, or a value out of range.
        ModelError: settings that the data's features cannot have.
    """
    own, wanted = apart(settings or {})
    schema, parsed = choose(schema, wanted), configure(name, own)
    make = MODELS[name][1]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "model"))
        return make(schema, parsed)


def configure(name: str, settings: Mapping[str, Any], where: str = "model") -> Any:
    """A model's settings, checked; those of a base within them (see `MLoRA`) too, and spelt out.

    Args:
        name: a key of `MODELS`.
        settings: its fields; `base` is a table of another model, with a `name` of its own.
        where: the table's name in the recipe, for messages.

    Raises:
        ConfigError: an unknown name or key, or a value out of range.

    >>> configure("mlora", {"base": {"name": "wdl", "embedding": 8}}).base["embedding"]
    8
    """
    config, values = lookup(MODELS, name, "model")[0], dict(settings)
    if name == "mlora" and "base" in values:
        values["base"] = _base(values["base"], f"{where}.base")
    return parse(config, values, where)


def _base(table: object, where: str) -> dict[str, Any]:
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise ConfigError(f"{where} = {table!r}", "a table with a name", f'Add name = "..." under [{where}]')
    if table["name"] == "mlora":
        raise ConfigError(f"{where}.name = 'mlora'", "a model that has no adapters yet", "Raise rank instead")
    settings = {key: value for key, value in table.items() if key != "name"}
    return {"name": table["name"], **dataclasses.asdict(configure(table["name"], settings, where))}
