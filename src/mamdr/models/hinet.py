"""HiNet: what domains share, what is a domain's own and what it takes from others, extracted one after another.

B rows, G groups of K sub-experts, S values that an expert gives.
"""

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


@component
class HiNetConfig:
    """Settings of `HiNet`.

    Args:
        embedding: width of each feature's embedding.
        experts: sizes of each sub-expert's layers.
        sub: how many sub-experts make an expert.
        scenarios: how many experts stand for the other domains.
        task: sizes of the layers of each expert of the task layer.
        tasks: how many experts the task layer mixes.
        tower: sizes of the hidden layers after the task layer.
        dropout: after each hidden layer.
    """

    embedding: Width = 128
    experts: Widths = (128, 64)
    sub: Count = 2
    scenarios: Count = 4
    task: Widths = (64,)
    tasks: Count = 2
    tower: Widths = (64,)
    dropout: Rate = 0.5


class SubExperts(nn.Module):
    r"""G experts that all domains share, each a gated mixture of K sub-experts (sub-expert integration).

        out_g = Σ_k softmax(gate_g(x))_k · expert_gk(x)

    Args:
        width: values a row.
        sizes: of a sub-expert's layers.
        groups: G.
        count: K.
        dropout: after each layer.

    Shapes: [B, V] and what is the same for every row, [1, C], to [B, G, S].
    Cost: the first layers of all sub-experts are one product.
    Reference: HiNet (see `HiNet`), sub-expert integration module.
    """

    def __init__(self, width: int, sizes: Sequence[int], groups: int, count: int, dropout: float) -> None:
        super().__init__()
        self.shape = (groups, count)
        self.experts = Experts(width, sizes, groups * count, dropout)
        self.gates = dense(width, groups * count)

    def forward(self, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        gate = torch.softmax(self.gates(rows, constant).view(len(rows), *self.shape), dim=2)
        found = self.experts(rows, constant).unflatten(1, self.shape)
        out: Tensor = (gate.unsqueeze(2) @ found).squeeze(2)
        return out


class HiNet(nn.Module):
    r"""A layer that extracts what a domain is, by three experts, and a layer that extracts what the task needs.

        shared = E_0(x),   own = E_d(x),   others = Σ_m softmax(A v_d)_m · E_m(x)      for a row x of domain d
        c      = [shared | own | others]
        logit  = tower(Σ_t softmax(gate(c))_t · T_t(c))

    E are gated mixtures of sub-experts; v_d is the domain's embedding, which chooses whom a domain takes from (the
    scenario-aware attentive network, SAN).

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes 1 + M shared experts (M = `scenarios`), its domain's expert and the task layer, however many
        domains there are.
    Memory: a domain's own expert; at the default sizes and two id columns 0.12 M values a domain.
    Reference: Zhou et al., HiNet: Novel Multi-Scenario & Multi-Task Learning with Hierarchical Information Extraction,
        ICDE 2023.
    Differs from it: SAN attends over the experts of all other domains there, so that a row passes D experts and domains
        train one another's; here over M experts that are nobody's own, each trained by the domains that choose it. With
        thousands of domains only this can be computed, and a walk pulls the rows of its own domains alone. There is one
        task, for which the task layer (CGC, with experts of each task and shared ones) comes to a mixture of experts
        under one gate. The paper leaves open to us which layers a domain has of its own beyond the extraction
        layer: we read none. Gates are linear. Dropout after hidden layers.
    """

    def __init__(
        self, schema: Schema, config: HiNetConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        domains, dropout, sizes = len(schema.domains), config.dropout, config.experts
        self.inputs = Inputs(schema, config.embedding, frozen=frozen)
        width = self.inputs.width
        self.embedding = config.embedding
        self.common = SubExperts(width, sizes, 1 + config.scenarios, config.sub, dropout)
        self.own = DomainExperts(domains, width, sizes, config.sub, dropout)
        self.own_gates = DomainLayers(domains, width, (config.sub,), dropout)
        self.attention = dense(config.embedding, config.scenarios)
        self.tasks = SubExperts(3 * sizes[-1], config.task, 1, config.tasks, dropout)
        self.tower = Hidden(config.task[-1], config.tower, dropout)
        self.out = dense(config.tower[-1], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, (rows, constant) = Routing(batch["domain"]), self.inputs.split(batch)
        found = self.common(rows, constant)
        own = mix(self.own_gates(routing, rows, constant), self.own(routing, rows, constant))
        domain = rows[:, -self.embedding :] if constant is None else constant
        others = mix(self.attention(domain).expand(len(rows), -1), found[:, 1:])
        extracted = torch.cat([found[:, 0], own, others], dim=1)
        logits: Tensor = self.out(self.tower(self.tasks(extracted).squeeze(1)))
        return logits.squeeze(1)
