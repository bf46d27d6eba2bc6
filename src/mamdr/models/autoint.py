"""AutoInt: features attend to each other. B rows, F features, H heads, A values a head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.fields import Fields, Wide
from mamdr.models.layers import Hidden, dense
from mamdr.models.settings import Count, Rate, Width, Widths


@component
class AutoIntConfig:
    """Settings of `AutoInt`.

    Args:
        embedding: width of each feature's embedding.
        layers: attention layers, one on the other.
        heads: H.
        head: A, the width of a head.
        hidden: sizes of the deep part's layers.
        dropout: after each hidden layer of the deep part.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    layers: Count = 3
    heads: Count = 4
    head: Width = 8
    hidden: Widths = (256, 128, 64)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class Attention(nn.Module):
    r"""Each feature becomes a mixture of all features, weighed by how well they agree.

        a_h(f, g) = softmax_g(q_h(v_f) · k_h(v_g)),   out_f = ReLU([Σ_g a_h(f, g) value_h(v_g)]_h + r(v_f))

    q, k, value and r are linear without bias; scores are not scaled, as in the paper.

    Shapes: [B, F, width] to [B, F, H · A].
    Reference: AutoInt, eq. 5 to 8.
    """

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 4 * heads * head, bias=False)
        for part in self.project.weight.detach().chunk(4):
            nn.init.xavier_normal_(part)

    def forward(self, fields: Tensor) -> Tensor:
        *parts, residual = self.project(fields).chunk(4, dim=2)
        query, key, value = (part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        weights = torch.softmax(query @ key.transpose(2, 3), dim=3)
        mixed = (weights @ value).transpose(1, 2).flatten(2)
        return torch.relu(mixed + residual)


class AutoInt(nn.Module):
    r"""Attention layers over the features beside a multi-layer perceptron.

        logit = w(x) + u · [attention_L(... attention_1(v_1 .. v_F)) | deep([v_1 | ... | v_F])] + b

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors of the embeddings' width that are used as they are (see `Fields`).

    Cost: an MLP's, and for each layer F · width · 4HA + 2F² · HA products a row.
    Reference: Song et al., AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks,
        CIKM 2019; four heads as in MAMDR, section V-C.
    Differs from it, as the implementation that MAMDR measured: the deep part (the paper's AutoInt+) and the linear
        part w.
    """

    def __init__(
        self, schema: Schema, config: AutoIntConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        by_domain = config.domain_embedding
        self.wide = Wide(schema, domain_embedding=by_domain)
        self.fields = Fields(schema, config.embedding, domain_embedding=by_domain, frozen=frozen)
        width = config.heads * config.head
        widths = [config.embedding, *[width] * (config.layers - 1)]
        self.attention = nn.Sequential(*(Attention(w, config.heads, config.head) for w in widths))
        self.deep = Hidden(self.fields.inputs.width, config.hidden, config.dropout)
        self.out = dense(self.fields.count * width + config.hidden[-1], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        rows, constant, fields = self.fields(batch)
        both = torch.cat([self.attention(fields).flatten(1), self.deep(rows, constant)], dim=1)
        logits: Tensor = self.out(both).squeeze(1) + self.wide(batch)
        return logits
