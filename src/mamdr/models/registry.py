"""Models by the name that a recipe uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mamdr.config import lookup, parse
from mamdr.data.domains import Schema
from mamdr.models.autoint import AutoInt, AutoIntConfig
from mamdr.models.cgc import CGC, CGCConfig
from mamdr.models.deepfm import DeepFM, DeepFMConfig
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.models.mmoe import MMOE, MMOEConfig
from mamdr.models.neurfm import NeurFM, NeurFMConfig
from mamdr.models.ple import PLE, PLEConfig
from mamdr.models.shared_bottom import SharedBottom, SharedBottomConfig
from mamdr.models.star import STAR, STARConfig
from mamdr.models.wdl import WDL, WDLConfig
from mamdr.seeds import derive

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
}
"""For each name, the settings and the module made of a schema and the settings."""


def build(
    name: str, schema: Schema, settings: Mapping[str, Any] | None = None, *, seed: int = 0
) -> nn.Module:
    """The module that a recipe's `[model]` table describes, with first values drawn from the seed.

    Raises:
        ConfigError: an unknown name or key, or a value out of range.
    """
    config, make = lookup(MODELS, name, "model")
    parsed = parse(config, settings or {}, "model")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "model"))
        return make(schema, parsed)
