"""M2M: layers whose weights are generated from what is known of the domain.

B rows, G distinct domains of a batch, K values known of a domain, N experts, S values that an expert gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.asides import aside, beside, embeddings
from mamdr.models.experts import Experts, mix
from mamdr.models.inputs import Inputs
from mamdr.models.layers import dense, multiply
from mamdr.models.routing import Routing, unpack
from mamdr.models.settings import Count, Rate, Width, Widths


@component
class M2MConfig:
    """Settings of `M2M`.

    Args:
        embedding: width of each feature's embedding, and of the domain's.
        experts: sizes of each expert's layers; the last, S, is the width of every generated layer.
        count: N, at least two (with one there is nothing to choose).
        knowledge: K, values known of a domain, from which its layers are generated.
        unit: generated layers of each meta unit.
        tower: residual layers of the tower, a meta unit each.
        dropout: after each layer of the experts.
        domain_embedding: whether the domain is a feature of the experts too; else only generated layers know it.
    """

    embedding: Width = 128
    experts: Widths = (256, 128, 64)
    count: Annotated[int, Field(ge=2, le=1024)] = 4
    knowledge: Width = 32
    unit: Count = 1
    tower: Count = 2
    dropout: Rate = 0.5
    domain_embedding: bool = True


class MetaUnit(nn.Module):
    r"""Layers that a domain's knowledge generates.

        h_{i+1} = σ(W_i h_i + b_i),    [W_i | b_i] = V_i k + v_i        for the knowledge k of the row's domain

    σ is the leaky ReLU. v_i starts as a plain layer does (Glorot normal, zero biases), so that all domains start near
    one common layer.

    Args:
        knowledge: K.
        width: S, of the values that come and go.
        layers: how many.

    Shapes: knowledge [G, K] to what is generated, [G, S · (S + 1)] for each layer; with that, rows [..., b, S] to the
        same.
    Cost: K · S² products a layer for each distinct domain of a batch, S² for each row. Memory: S² a layer for each
        distinct domain of a batch.
    Reference: M2M (see `M2M`), section 4.2.1.
    """

    def __init__(self, knowledge: int, width: int, layers: int) -> None:
        super().__init__()
        self.width = width
        self.generators = nn.ModuleList(_generator(knowledge, width) for _ in range(layers))

    def generate(self, knowledge: Tensor) -> list[Tensor]:
        return [generator(knowledge) for generator in self.generators]

    def forward(self, rows: Tensor, generated: Sequence[Tensor]) -> Tensor:
        for values in generated:
            weight, bias = unpack(values, self.width, self.width)
            rows = F.leaky_relu(multiply(weight.squeeze(-3), bias.squeeze(-2), rows))
        return rows


class MetaAttention(nn.Module):
    r"""How much each expert counts for a row, by its domain.

        a_n = v · meta(expert_n)

    Shapes: experts [B, N, S] to scores [B, N], before their softmax.
    Reference: M2M (see `M2M`), section 4.2.2.
    """

    def __init__(self, knowledge: int, width: int, layers: int) -> None:
        super().__init__()
        self.unit = MetaUnit(knowledge, width, layers)
        self.score = nn.Linear(width, 1, bias=False)  # the softmax would take a bias away again
        nn.init.xavier_normal_(self.score.weight)

    def forward(self, routing: Routing, knowledge: Tensor, experts: Tensor) -> Tensor:
        def scores(experts: Tensor, *generated: Tensor) -> Tensor:
            met = self.unit(experts.flatten(-3, -2), generated)
            found: Tensor = self.score(met).view(experts.shape[:-1])
            return found

        return routing.each(scores, experts, *self.unit.generate(knowledge))


class MetaTower(nn.Module):
    r"""Residual layers of a domain's own.

        L_{j+1} = σ(meta_j(L_j) + L_j)

    Shapes: [B, S] to [B, S].
    Reference: M2M (see `M2M`), section 4.2.3.
    """

    def __init__(self, knowledge: int, width: int, layers: int, tower: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(MetaUnit(knowledge, width, layers) for _ in range(tower))
        self.layers = layers

    def forward(self, routing: Routing, knowledge: Tensor, rows: Tensor) -> Tensor:
        def tower(rows: Tensor, *generated: Tensor) -> Tensor:
            for number, unit in enumerate(self.units):
                begin = number * self.layers
                rows = F.leaky_relu(unit(rows, generated[begin : begin + self.layers]) + rows)
            return rows

        generated = [values for unit in self.units for values in unit.generate(knowledge)]  # type: ignore[operator]
        return routing.each(tower, rows, *generated)


class M2M(nn.Module):
    r"""Experts that all domains share, chosen and read by layers that the domain's knowledge generates.

        k = σ(W v_d + b)                                     v_d: the embedding of domain d
        R = Σ_n softmax(attention(E, k))_n · E_n,    E_n = expert_n([x | v_d])
        logit = u · tower(R, k) + b'                         for a row x of domain d

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes every expert, the attention's unit N times and the tower's units once; each distinct domain of a
        batch costs the generation of its layers, 0.4 M products at the default sizes: nothing beside the rows in a
        batch of one domain, some three times as long as with ten domains where each row is of another one.
    Memory: a domain more is a row of embeddings more; in a batch, 12 thousand values for each distinct domain.
    Reference: Zhang et al., Leaving No One Behind: A Multi-Scenario Multi-Task Meta Learning Approach for Advertiser
        Modeling, WSDM 2022 (arXiv 2201.06814), section 4.
    Differs from it: one task, a logit (there several, with a Poisson loss), so no task view: joined to each expert it
        is the same for all rows, which a generated bias says as well; knowledge is of the domain alone (there of the
        domain and the advertiser), so that layers are generated for a domain and not for a row; no transformer over
        histories; experts have several layers, with ReLU and dropout, and see the domain as well: known to generated
        layers alone, it is learned too slowly here (test AUC of a synthetic market under Alternate 0.69, 0.71 with five
        times the patience, 0.77 as it is; an MLP's is 0.77). Reading: scores pass a softmax.
    """

    def __init__(self, schema: Schema, config: M2MConfig, frozen: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        width = config.experts[-1]
        self.inputs = Inputs(schema, config.embedding, domain_embedding=False, frozen=frozen)
        self.domains = embeddings(len(schema.domains), config.embedding)
        self.know = dense(config.embedding, config.knowledge)
        features = self.inputs.width + (config.embedding if config.domain_embedding else 0)
        self.experts = Experts(features, config.experts, config.count, config.dropout)
        self.by_domain = config.domain_embedding
        self.attention = MetaAttention(config.knowledge, width, config.unit)
        self.tower = MetaTower(config.knowledge, width, config.unit, config.tower)
        self.out = dense(width, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, experts = Routing(batch["domain"]), self._experts(batch)
        knowledge = F.leaky_relu(self.know(routing.rows(self.domains)))
        mixed = mix(self.attention(routing, knowledge, experts), experts)
        logits: Tensor = self.out(self.tower(routing, knowledge, mixed))
        return logits.squeeze(1)

    def _experts(self, batch: Batch) -> Tensor:
        """[B, N, S]."""
        rows = self.inputs(batch)
        found: Tensor = self.experts(
            *beside(rows, aside(self.domains, batch["domain"])) if self.by_domain else (rows,)
        )
        return found


def _generator(knowledge: int, width: int) -> nn.Linear:
    generator = dense(knowledge, width * (width + 1))
    with torch.no_grad():
        nn.init.normal_(generator.bias[: width * width], std=width**-0.5)  # Glorot's, of a square kernel
    return generator
