"""SAR-Net: features scaled by domain, then shared and specific experts. B rows, W values a row, N experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError
from mamdr.models.experts import DomainExperts, Experts
from mamdr.models.inputs import Inputs
from mamdr.models.layers import dense
from mamdr.models.routing import DomainLayers, Routing, zeros
from mamdr.models.settings import Count, Rate, Width, Widths


@component
class SARNetConfig:
    """Settings of `SARNet`.

    Args:
        embedding: width of each feature's embedding.
        experts: sizes of each expert's layers.
        shared: how many experts all domains share.
        specific: how many experts each domain has of its own.
        dropout: after each hidden layer.
        intervention: a numeric column that tells how far a row was shown by a hand and not by merit (the paper's
            fairness coefficient); it feeds the bias nets and nothing else. "" for none: then there are no bias nets.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    experts: Widths = (128, 64)
    shared: Count = 4
    specific: Count = 2
    dropout: Rate = 0.5
    intervention: str = ""
    domain_embedding: bool = True


class Transform(nn.Module):
    r"""Features scaled and shifted by domain: x' = β_d ⊙ x + γ_d.

    What is kept for a domain is (β_d − 1, γ_d), zero at the start: every domain begins with the features as they are.

    Args:
        domains: D.
        width: W.

    Shapes: [B, V] and what is the same for every row, [1, C], to the same; V + C = W.
    Reference: SAR-Net (see `SARNet`), scenario-specific transform layer.
    """

    def __init__(self, domains: int, width: int) -> None:
        super().__init__()
        self.own = zeros(domains, 2 * width)

    def forward(
        self, routing: Routing, rows: Tensor, constant: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        scale, shift = routing.rows(self.own).chunk(2, dim=1)
        if not routing.one:
            return torch.addcmul(rows + shift[routing.which], rows, scale[routing.which]), constant
        cut = rows.shape[1]
        moved = torch.addcmul(rows + shift[:, :cut], rows, scale[:, :cut])
        if constant is not None:
            constant = torch.addcmul(constant + shift[:, cut:], constant, scale[:, cut:])
        return moved, constant


class SARNet(nn.Module):
    r"""Features scaled by domain, experts that all share and each domain's own, and a gate for each domain.

        x'    = β_d ⊙ x + γ_d                                          for a row x of domain d
        g     = softmax(W_d x' + b_d)
        logit = Σ_n g_n (u · E_n(x') + bias_n(c)) + b,      E = [experts_d, experts_shared]

    The bias nets explain by c, how far a row was shown by a hand, what merit does not; they are there in training alone
    and fall away when a row is scored, as in the paper. bias_n is linear in c.

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Raises:
        ConfigError: `intervention` is no numeric column of the data.

    Cost: a row passes the shared experts, its domain's experts and one gate, however many domains there are.
    Memory: a domain's own factors, experts and gate; at the default sizes and two id columns 0.12 M values a domain.
    Reference: Shen et al., SAR-Net: A Scenario-Aware Ranking Network for Personalized Fair Recommendation in Hundreds
        of Travel Scenarios, CIKM 2021.
    Differs from it: no attention over a user's history (the cross-scenario behaviour extraction), which a batch does
        not hold with the scenario of each event; a list of past items is pooled as any list is. c is a column of the
        data, where the paper computes a coefficient from what the model predicted for an item, and weighs samples by
        it too: a loss is no part of a model here. No batch normalisation before an expert: batches are of one domain
        in training, and statistics that all share would fit none. We could not verify the paper's sizes and counts:
        experts are hidden layers, as everywhere here, and end in one output u that all share; the gate is linear and
        each domain's own.
    """

    def __init__(
        self, schema: Schema, config: SARNetConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        domains, dropout, self.column = len(schema.domains), config.dropout, config.intervention
        self.inputs = Inputs(
            _without(schema, self.column),
            config.embedding,
            domain_embedding=config.domain_embedding,
            frozen=frozen,
        )
        width = self.inputs.width
        self.transform = Transform(domains, width)
        self.own = DomainExperts(domains, width, config.experts, config.specific, dropout)
        self.shared = Experts(width, config.experts, config.shared, dropout)
        self.gates = DomainLayers(domains, width, (config.specific + config.shared,), dropout)
        self.out = dense(config.experts[-1], 1)
        self.bias = dense(1, config.shared) if self.column else None
        self.own_bias = DomainLayers(domains, 1, (config.specific,), dropout) if self.column else None

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing = Routing(batch["domain"])
        rows, constant = self.transform(routing, *self.inputs.split(batch))
        found = torch.cat([self.own(routing, rows, constant), self.shared(rows, constant)], dim=1)
        gate = torch.softmax(self.gates(routing, rows, constant), dim=1)
        logits: Tensor = self.out(torch.bmm(gate.unsqueeze(1), found).squeeze(1)).squeeze(1)
        if self.training and self.bias is not None and self.own_bias is not None:
            shown = batch[self.column].unsqueeze(1)
            bias = torch.cat([self.own_bias(routing, shown), self.bias(shown)], dim=1)
            logits = logits + (gate * bias).sum(1)
        return logits


def _without(schema: Schema, column: str) -> Schema:
    """The data's columns without the one that feeds the bias nets."""
    if not column:
        return schema
    if column not in schema.numeric:
        known = ", ".join(schema.numeric) or "none in these data"
        raise ConfigError(
            f"model.intervention = {column!r}", f"a numeric column ({known})", 'Correct it, or set it to ""'
        )
    return dataclasses.replace(schema, numeric=tuple(name for name in schema.numeric if name != column))
