"""Models: any `nn.Module` with `forward(batch) -> logits [B]`; these are ours."""

from mamdr.models.adasparse import AdaSparse, AdaSparseConfig
from mamdr.models.autoint import AutoInt, AutoIntConfig
from mamdr.models.cgc import CGC, CGCConfig
from mamdr.models.deepfm import DeepFM, DeepFMConfig
from mamdr.models.features import Features, FeaturesConfig, apart
from mamdr.models.hinet import HiNet, HiNetConfig
from mamdr.models.m2m import M2M, M2MConfig
from mamdr.models.mlora import MLoRA, MLoRAConfig
from mamdr.models.mlp import MLP, MLPConfig
from mamdr.models.mmoe import MMOE, MMOEConfig
from mamdr.models.neurfm import NeurFM, NeurFMConfig
from mamdr.models.pepnet import PEPNet, PEPNetConfig
from mamdr.models.ple import PLE, PLEConfig
from mamdr.models.registry import MODELS, build, configure
from mamdr.models.sar_net import SARNet, SARNetConfig
from mamdr.models.shared_bottom import SharedBottom, SharedBottomConfig
from mamdr.models.star import STAR, STARConfig
from mamdr.models.wdl import WDL, WDLConfig

__all__ = [
    "CGC",
    "M2M",
    "MLP",
    "MMOE",
    "MODELS",
    "PLE",
    "STAR",
    "WDL",
    "AdaSparse",
    "AdaSparseConfig",
    "AutoInt",
    "AutoIntConfig",
    "CGCConfig",
    "DeepFM",
    "DeepFMConfig",
    "Features",
    "FeaturesConfig",
    "HiNet",
    "HiNetConfig",
    "M2MConfig",
    "MLPConfig",
    "MLoRA",
    "MLoRAConfig",
    "MMOEConfig",
    "NeurFM",
    "NeurFMConfig",
    "PEPNet",
    "PEPNetConfig",
    "PLEConfig",
    "SARNet",
    "SARNetConfig",
    "STARConfig",
    "SharedBottom",
    "SharedBottomConfig",
    "WDLConfig",
    "apart",
    "build",
    "configure",
]
