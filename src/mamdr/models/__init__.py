"""Models: any `nn.Module` with `forward(batch) -> logits [B]`; these are ours."""

from mamdr.models.autoint import AutoInt, AutoIntConfig
from mamdr.models.deepfm import DeepFM, DeepFMConfig
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.models.neurfm import NeurFM, NeurFMConfig
from mamdr.models.registry import MODELS, build
from mamdr.models.wdl import WDL, WDLConfig

__all__ = [
    "MLP",
    "MODELS",
    "WDL",
    "AutoInt",
    "AutoIntConfig",
    "DeepFM",
    "DeepFMConfig",
    "MLPConfig",
    "NeurFM",
    "NeurFMConfig",
    "WDLConfig",
    "build",
]
