"""DeepFM."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.fields import Fields, Wide, interactions
from mamdr.models.layers import Hidden, dense
from mamdr.models.settings import Rate, Width, Widths


@component
class DeepFMConfig:
    """Settings of `DeepFM`.

    Args:
        embedding: width of each feature's embedding.
        hidden: sizes of the deep part's layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    hidden: Widths = (256, 128, 64)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class DeepFM(nn.Module):
    r"""A factorisation machine and a multi-layer perceptron over the same embeddings.

        logit = w(x) + Σ_{f<g} v_f · v_g + u · deep([v_1 | ... | v_F]) + b

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors of the embeddings' width that are used as they are (see `Fields`).

    Cost: an MLP's, and F · E a row.
    Reference: Guo et al., DeepFM: A Factorization-Machine based Neural Network for CTR Prediction, IJCAI 2017.
    Differs from it: a number enters the deep part as it is, and the machine as x · v.
    """

    def __init__(
        self, schema: Schema, config: DeepFMConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        by_domain = config.domain_embedding
        self.wide = Wide(schema, domain_embedding=by_domain)
        self.fields = Fields(schema, config.embedding, domain_embedding=by_domain, frozen=frozen)
        self.deep = Hidden(self.fields.inputs.width, config.hidden, config.dropout)
        self.out = dense(config.hidden[-1], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        rows, constant, fields = self.fields(batch)
        deep = self.out(self.deep(rows, constant)).squeeze(1)
        logits: Tensor = deep + interactions(fields).sum(1) + self.wide(batch)
        return logits
