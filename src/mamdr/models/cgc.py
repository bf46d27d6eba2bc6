"""Customized Gate Control: shared experts and each domain's own, mixed by a gate for each domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.experts import DomainExperts, Experts, mix
from mamdr.models.inputs import Inputs
from mamdr.models.layers import Hidden, dense
from mamdr.models.routing import DomainLayers, Routing
from mamdr.models.settings import Count, Rate, Width, Widths

Stream = tuple[Tensor, Tensor | None]
"""Rows [B, V], and what is the same for all of them [1, C] (see `layers.multiply`)."""


@component
class CGCConfig:
    """Settings of `CGC`.

    Args:
        embedding: width of each feature's embedding.
        experts: sizes of each expert's layers.
        shared: how many experts all domains share.
        specific: how many experts each domain has of its own.
        gates: sizes of the hidden layers of the gates; none for linear gates, as in the PLE paper.
        towers: sizes of each domain's hidden layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    experts: Widths = (256,)
    shared: Count = 2
    specific: Count = 10
    gates: tuple[Width, ...] = (64,)
    towers: Widths = (64,)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class Level(nn.Module):
    r"""One level of experts and gates, for a row of domain d.

        own'    = Σ_n softmax(gate_d(own))_n · E_n,      E = [experts_d(own), experts_shared(common)]
        common' = Σ_n softmax(gate_shared(common))_n · E_n          (not on the last level, where nothing reads it)

    Args:
        domains: D.
        width: of both streams.
        experts, shared, specific, gates, dropout: as in `CGCConfig`.
        last: whether it is the last level.

    Reference: Tang et al. (see `CGC`), eq. 1 to 3 and 5.
    Differs from it: a row has one domain, so that the shared gate chooses among that domain's experts and the shared
        ones. In the paper every row has all tasks, and the shared gate sees all tasks' experts: at D experts a row.
    """

    def __init__(
        self,
        domains: int,
        width: int,
        *,
        experts: Sequence[int],
        shared: int,
        specific: int,
        gates: Sequence[int],
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        self.own = DomainExperts(domains, width, experts, specific, dropout)
        self.shared = Experts(width, experts, shared, dropout)
        self.gates = DomainLayers(domains, width, (*gates, specific + shared), dropout)
        self.gate = None if last else _gate(width, gates, specific + shared, dropout)

    def forward(self, routing: Routing, own: Stream, common: Stream) -> tuple[Tensor, Tensor | None]:
        found = torch.cat([self.own(routing, *own), self.shared(*common)], dim=1)
        mixed = mix(self.gates(routing, *own), found)
        if self.gate is None:
            return mixed, None
        rows, constant = common
        together = rows if constant is None else torch.cat([rows, constant.expand(len(rows), -1)], dim=1)
        return mixed, mix(self.gate(together), found)


def _gate(width: int, sizes: Sequence[int], count: int, dropout: float) -> nn.Module:
    """The shared stream's gate."""
    if not sizes:
        return dense(width, count)
    return nn.Sequential(Hidden(width, sizes, dropout), dense(sizes[-1], count))


class CGC(nn.Module):
    r"""Shared and specific experts on one level, then a tower for each domain.

        logit = tower_d(Σ_n softmax(gate_d(x))_n · [experts_d(x), experts_shared(x)]_n)       for a row x of domain d

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes the shared experts, its domain's experts, one gate and one tower, however many domains there are.
    Memory: a domain's own experts and gate; at the default sizes and two id columns 1.0 M values a domain.
    Reference: Tang et al., Progressive Layered Extraction (PLE), RecSys 2020, section 4.2.
    Differs from it: gates have a hidden layer, as in MAMDR. From MAMDR, section V-C: experts of 256 and towers of 64,
        which are printed the other way round (FIDELITY row 19).
    """

    def __init__(self, schema: Schema, config: CGCConfig, frozen: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        domains, dropout = len(schema.domains), config.dropout
        self.inputs = Inputs(
            schema, config.embedding, domain_embedding=config.domain_embedding, frozen=frozen
        )
        self.level = Level(
            domains,
            self.inputs.width,
            experts=config.experts,
            shared=config.shared,
            specific=config.specific,
            gates=config.gates,
            dropout=dropout,
            last=True,
        )
        self.towers = DomainLayers(domains, config.experts[-1], (*config.towers, 1), dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, stream = Routing(batch["domain"]), self.inputs.split(batch)
        mixed, _ = self.level(routing, stream, stream)
        logits: Tensor = self.towers(routing, mixed)
        return logits.squeeze(1)
