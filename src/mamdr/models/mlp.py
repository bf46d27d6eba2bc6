"""The multi-layer perceptron."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.inputs import Inputs
from mamdr.models.layers import logit, tower

Width = Annotated[int, Field(ge=1, le=65536)]


@component
class MLPConfig:
    """Settings of `MLP`.

    Args:
        embedding: width of each feature's embedding.
        hidden: sizes of the hidden layers.
        dropout: after each hidden layer, in [0, 1).
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    hidden: tuple[Width, ...] = (256, 128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    domain_embedding: bool = True


class MLP(nn.Module):
    """Embeddings, fully connected layers, one logit (MAMDR, section V-B: "the simplest neural network model").

    Shapes: a batch of B rows to logits [B].
    """

    def __init__(self, schema: Schema, config: MLPConfig) -> None:
        super().__init__()
        self.inputs = Inputs(schema, config.embedding, domain_embedding=config.domain_embedding)
        self.layers = tower(self.inputs.width, config.hidden, config.dropout)
        self.logit = logit(config.hidden[-1] if config.hidden else self.inputs.width)

    def forward(self, batch: Batch) -> Tensor:
        logits: Tensor = self.logit(self.layers(self.inputs(batch)))
        return logits.squeeze(1)
