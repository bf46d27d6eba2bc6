"""Wide & Deep Learning."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.fields import Wide
from mamdr.models.inputs import Inputs
from mamdr.models.layers import Hidden, dense
from mamdr.models.settings import Rate, Width, Widths


@component
class WDLConfig:
    """Settings of `WDL`.

    Args:
        embedding: width of each feature's embedding in the deep part.
        hidden: sizes of the deep part's layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature, of both parts.
    """

    embedding: Width = 128
    hidden: Widths = (256, 128, 64)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class WDL(nn.Module):
    r"""A linear model and a multi-layer perceptron, trained together.

        logit = w(x) + u · deep([v_1 | ... | v_F]) + b

    w is linear in the ids (see `Wide`), deep are hidden layers over the embeddings.

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that the deep part uses as they are (see `Inputs`).

    Cost: an MLP's, and a number for each id.
    Reference: Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016.
    Differs from it: no crossed columns (they are chosen by hand there); one optimizer for both parts.
    """

    def __init__(self, schema: Schema, config: WDLConfig, frozen: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        by_domain = config.domain_embedding
        self.wide = Wide(schema, domain_embedding=by_domain)
        self.inputs = Inputs(schema, config.embedding, domain_embedding=by_domain, frozen=frozen)
        self.deep = Hidden(self.inputs.width, config.hidden, config.dropout)
        self.out = dense(config.hidden[-1], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        logits: Tensor = self.out(self.deep(*self.inputs.split(batch))).squeeze(1) + self.wide(batch)
        return logits
