"""Shared-Bottom."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.inputs import Inputs
from mamdr.models.layers import Hidden
from mamdr.models.routing import DomainLayers, Routing
from mamdr.models.settings import Rate, Width, Widths


@component
class SharedBottomConfig:
    """Settings of `SharedBottom`.

    Args:
        embedding: width of each feature's embedding.
        hidden: sizes of the shared layers.
        towers: sizes of each domain's hidden layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    hidden: Widths = (512, 256, 128)
    towers: Widths = (64,)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class SharedBottom(nn.Module):
    r"""Layers that all domains share, then a tower for each domain.

        logit = tower_d(bottom(x))          for a row x of domain d

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes the bottom and one tower, however many domains there are.
    Reference: Caruana, Multitask Learning, Machine Learning 28, 1997; sizes of MAMDR, section V-C.
    Differs from the authors' code: a row meets its own tower only (there, all towers and a mask).
    """

    def __init__(
        self, schema: Schema, config: SharedBottomConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.inputs = Inputs(
            schema, config.embedding, domain_embedding=config.domain_embedding, frozen=frozen
        )
        self.bottom = Hidden(self.inputs.width, config.hidden, config.dropout)
        self.towers = DomainLayers(
            len(schema.domains), config.hidden[-1], (*config.towers, 1), config.dropout
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        logits: Tensor = self.towers(Routing(batch["domain"]), self.bottom(*self.inputs.split(batch)))
        return logits.squeeze(1)
