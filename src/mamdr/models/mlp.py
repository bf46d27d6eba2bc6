"""The multi-layer perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.inputs import Inputs
from mamdr.models.layers import Layered, ReLUDropout, dense
from mamdr.models.settings import Rate, Width


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
    dropout: Rate = 0.5
    domain_embedding: bool = True


class MLP(Layered):
    """Embeddings, fully connected layers, one logit (MAMDR, section V-B: "the simplest neural network model").

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Shapes: a batch of B rows to logits [B].
    Cost: in a batch of one domain its embedding is multiplied once, not B times.
    """

    def __init__(self, schema: Schema, config: MLPConfig, frozen: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.inputs = Inputs(
            schema, config.embedding, domain_embedding=config.domain_embedding, frozen=frozen
        )
        first, *others = [*config.hidden, 1]
        self.first = dense(self.inputs.width, first)
        layers: list[nn.Module] = []
        for width, size in itertools.pairwise([first, *others]):
            layers += [ReLUDropout(config.dropout), dense(width, size)]
        self.layers = nn.Sequential(*layers)

    def forward(self, batch: Batch) -> Tensor:
        return self.through(*self.inputs.split(batch)).squeeze(1)
