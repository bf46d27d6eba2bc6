"""Models: any `nn.Module` with `forward(batch) -> logits [B]`; these are ours."""

from mamdr.models.mlp import MLP, MLPConfig
from mamdr.models.registry import MODELS, build

__all__ = ["MLP", "MODELS", "MLPConfig", "build"]
