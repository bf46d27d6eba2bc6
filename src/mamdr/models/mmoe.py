"""Multi-gate Mixture-of-Experts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.experts import Experts, mix
from mamdr.models.inputs import Inputs
from mamdr.models.routing import DomainLayers, Routing
from mamdr.models.settings import Rate, Width, Widths


@component
class MMOEConfig:
    """Settings of `MMOE`.

    Args:
        embedding: width of each feature's embedding.
        experts: sizes of each expert's layers.
        count: how many experts, at least two (with one there is nothing to choose: that is Shared-Bottom).
        gates: sizes of the hidden layers of each domain's gate; none for a linear gate, as in the MMOE paper.
        towers: sizes of each domain's hidden layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    experts: Widths = (512, 256, 128)
    count: Annotated[int, Field(ge=2, le=1024)] = 2
    gates: tuple[Width, ...] = (64,)
    towers: Widths = (64,)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class MMOE(nn.Module):
    r"""Experts that all domains share, mixed by a gate for each domain, then a tower for each domain.

        logit = tower_d(Σ_n softmax(gate_d(x))_n · expert_n(x))          for a row x of domain d

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes every expert, and one gate and one tower, however many domains there are.
    Reference: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts,
        KDD 2018, eq. 5 to 7; sizes of MAMDR, section V-C.
    Differs from it: gates have a hidden layer, as in MAMDR. From the authors' code: a row meets its own gate and tower
        only; experts start from different draws (FIDELITY row 15).
    """

    def __init__(
        self, schema: Schema, config: MMOEConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        domains, dropout = len(schema.domains), config.dropout
        self.inputs = Inputs(
            schema, config.embedding, domain_embedding=config.domain_embedding, frozen=frozen
        )
        width = self.inputs.width
        self.experts = Experts(width, config.experts, config.count, dropout)
        self.gates = DomainLayers(domains, width, (*config.gates, config.count), dropout)
        self.towers = DomainLayers(domains, config.experts[-1], (*config.towers, 1), dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, (rows, constant) = Routing(batch["domain"]), self.inputs.split(batch)
        mixed = mix(self.gates(routing, rows, constant), self.experts(rows, constant))
        logits: Tensor = self.towers(routing, mixed)
        return logits.squeeze(1)
