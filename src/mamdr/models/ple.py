"""Progressive Layered Extraction: levels of Customized Gate Control, one on the other."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.cgc import Level, Stream
from mamdr.models.inputs import Inputs
from mamdr.models.routing import DomainLayers, Routing
from mamdr.models.settings import Count, Rate, Width, Widths


@component
class PLEConfig:
    """Settings of `PLE`.

    Args:
        embedding: width of each feature's embedding.
        levels: of experts and gates; 1 is `CGC`.
        experts: sizes of each expert's layers, on every level.
        shared: how many experts all domains share, on every level.
        specific: how many experts each domain has of its own, on every level.
        gates: sizes of the hidden layers of the gates; none for linear gates, as in the PLE paper.
        towers: sizes of each domain's hidden layers.
        dropout: after each hidden layer.
        domain_embedding: whether the domain is a feature.
    """

    embedding: Width = 128
    levels: Count = 2
    experts: Widths = (256,)
    shared: Count = 2
    specific: Count = 10
    gates: tuple[Width, ...] = (64,)
    towers: Widths = (64,)
    dropout: Rate = 0.5
    domain_embedding: bool = True


class PLE(nn.Module):
    r"""Levels of shared and specific experts, then a tower for each domain.

        own_0 = common_0 = x,    own_l, common_l = level_l(own_{l-1}, common_{l-1}),    logit = tower_d(own_L)

    For a level see `mamdr.models.cgc.Level`, where a difference from the paper is told.

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: on each level a row passes the shared experts, its domain's experts and two gates, however many domains
        there are.
    Memory: a domain's own experts and gates; at the default sizes and two id columns 1.7 M values a domain.
    Reference: Tang et al., Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
        Recommendations, RecSys 2020, section 4.3.
    Differs from it: gates have a hidden layer, as in MAMDR. From MAMDR, section V-C: experts of 256 and towers of 64,
        which are printed the other way round. From the authors' code: two levels by default; theirs has one
        (FIDELITY row 19).
    """

    def __init__(self, schema: Schema, config: PLEConfig, frozen: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        domains, dropout, out = len(schema.domains), config.dropout, config.experts[-1]
        self.inputs = Inputs(
            schema, config.embedding, domain_embedding=config.domain_embedding, frozen=frozen
        )
        self.levels = nn.ModuleList(
            Level(
                domains,
                out if number else self.inputs.width,
                experts=config.experts,
                shared=config.shared,
                specific=config.specific,
                gates=config.gates,
                dropout=dropout,
                last=number == config.levels - 1,
            )
            for number in range(config.levels)
        )
        self.towers = DomainLayers(domains, out, (*config.towers, 1), dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, own = Routing(batch["domain"]), self.inputs.split(batch)
        common: Stream = own
        for level in self.levels:
            mixed, passed = level(routing, own, common)
            own, common = (mixed, None), (passed, None)
        logits: Tensor = self.towers(routing, own[0])
        return logits.squeeze(1)
