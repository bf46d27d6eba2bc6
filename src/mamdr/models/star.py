"""STAR: star topology, partitioned normalisation and an auxiliary network. B rows, W values a row, D domains."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.models.inputs import Inputs
from mamdr.models.layers import Hidden, ReLUDropout, dense, multiply
from mamdr.models.routing import Routing, unpack, zeros
from mamdr.models.settings import Rate, Width, Widths


@component
class STARConfig:
    """Settings of `STAR`.

    Args:
        embedding: width of each feature's embedding.
        hidden: sizes of the layers, of the shared network and of each domain's.
        auxiliary: sizes of the auxiliary network's layers.
        dropout: after each hidden layer.
    """

    embedding: Width = 128
    hidden: Widths = (256, 128, 64)
    auxiliary: Widths = (64,)
    dropout: Rate = 0.5


class PartitionedNorm(nn.Module):
    r"""Normalises a row by the statistics of its domain.

        z' = γ γ_d (z − μ_d) / sqrt(σ_d² + ε) + β + β_d

    μ_d and σ_d² are the mean and variance of the domain's rows in the batch when training, and running ones otherwise
    (and for a single row, which has no variance). The running ones are a mean over the first batches of a
    domain, and decay with `momentum` from there, so that a domain of few batches is not held to where they began.

    What is kept for a domain is (γ_d − 1, β_d), zero at the start: every domain begins at γ, β.

    Args:
        domains: D.
        width: W.
        momentum: the share of the newest batch in the running statistics.
        eps: ε.

    Shapes: [B, W] to [B, W]. The buffers `mean` and `variance` are [D, W], `batches` [D].
    Reference: STAR (see `STAR`), eq. 4 to 6.
    Differs from the authors' code: momentum 0.99 of the past there, from zero and one; here 0.9.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, domains: int, width: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.own = zeros(domains, 2 * width)
        self.register_buffer("mean", torch.zeros(domains, width))
        self.register_buffer("variance", torch.ones(domains, width))
        self.register_buffer("batches", torch.zeros(domains, dtype=torch.int64))

    def forward(self, routing: Routing, rows: Tensor) -> Tensor:
        own_scale, own_shift = routing.rows(self.own).chunk(2, dim=1)
        scale, shift = self.scale * (1 + own_scale), self.shift + own_shift
        normalised = self._one if routing.one else self._mixed
        return normalised(routing, rows, scale, shift)

    def _one(self, routing: Routing, rows: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Rows of one domain, with its scale and shift [1, W]."""
        weight, bias = scale.squeeze(0), shift.squeeze(0)
        if self.training and len(rows) > 1:
            mean, variance = torch.zeros_like(weight.detach()), torch.ones_like(weight.detach())
            out = F.batch_norm(rows, mean, variance, weight, bias, True, momentum=1.0, eps=self.eps)
            self._keep(routing.distinct, mean.unsqueeze(0), variance.unsqueeze(0))
            return out
        mean, variance = (kept[routing.distinct].squeeze(0) for kept in (self.mean, self.variance))
        return F.batch_norm(rows, mean, variance, weight, bias, False, eps=self.eps)

    def _mixed(self, routing: Routing, rows: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Rows of G domains, with their scales and shifts [G, W]."""
        which, domains, counts = routing.which, routing.distinct, routing.counts.unsqueeze(1)
        mean, variance = self.mean[domains], self.variance[domains]
        if self.training:
            mean = torch.where(counts > 1, torch.zeros_like(mean).index_add(0, which, rows) / counts, mean)
            squares = (rows - mean[which]).square()
            spread = torch.zeros_like(mean).index_add(0, which, squares) / counts
            variance = torch.where(counts > 1, spread, variance)
            several = routing.counts > 1
            unbiased = spread * counts / (counts - 1).clamp_min(1)
            self._keep(domains[several], mean[several], unbiased[several])
        factor = scale * torch.rsqrt(variance + self.eps)
        return (rows - mean[which]) * factor[which] + shift[which]

    @torch.no_grad()
    def _keep(self, domains: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Let the statistics [g, W] of a batch's domains [g], without repeats, into the running ones."""
        self.batches[domains] += 1
        share = (1 / self.batches[domains].to(mean.dtype)).clamp_min(self.momentum).unsqueeze(1)
        self.mean[domains] += share * (mean - self.mean[domains])
        self.variance[domains] += share * (variance - self.variance[domains])


class Star(nn.Module):
    r"""Fully connected layers whose weights are a shared network's times a domain's own.

        W_d* = W ⊙ W_d,    b_d* = b + b_d

    What is kept for a domain is (W_d − 1, b_d), zero at the start: every domain begins at the shared network.

    Args:
        domains: D.
        width: values a row.
        sizes: of the layers, the last one included (which has no ReLU).
        dropout: after each ReLU.

    Shapes: [B, width] to [B, sizes[-1]].
    Cost: a product of the weights for each distinct domain of a batch, beside the rows'.
    Reference: STAR (see `STAR`), eq. 7 to 9.
    """

    def __init__(self, domains: int, width: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        shapes = list(itertools.pairwise([width, *sizes]))
        self.shared = nn.ModuleList(dense(before, size) for before, size in shapes)
        self.own = nn.ModuleList(zeros(domains, size * (before + 1)) for before, size in shapes)
        self.between = ReLUDropout(dropout)

    def forward(self, routing: Routing, rows: Tensor) -> Tensor:
        return routing.each(self._one, rows, *self.own)

    def _one(self, rows: Tensor, *kept: Tensor) -> Tensor:
        """Rows of one domain with what it keeps for each layer, or of several."""
        for number, (layer, own) in enumerate(zip(self.shared, kept, strict=True)):
            assert isinstance(layer, nn.Linear)
            weight, bias = unpack(own, layer.out_features, layer.in_features)
            rows = self.between(rows) if number else rows
            kernel = torch.addcmul(layer.weight, layer.weight, weight.squeeze(-3))
            shift = layer.bias + bias.squeeze(-2)
            rows = multiply(kernel, shift, rows)
        return rows


class STAR(nn.Module):
    r"""One network of each domain's own, the product of a shared and a specific one.

        logit = star_d(norm_d(x)) + auxiliary([x | v_d])          for a row x of domain d

    The domain's embedding v_d feeds the auxiliary network alone: it is the same for all rows of a domain, of which the
    partitioned normalisation leaves nothing.

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: a row passes one network and the auxiliary one, however many domains there are; each distinct domain of a
        batch costs the product of its weights.
    Memory: as many values a domain as the network has; at the default sizes and two id columns 0.11 M.
    Reference: Sheng et al., One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction,
        CIKM 2021.
    Differs from it: no target attention over a user's history; dropout after hidden layers. From the authors' code:
        rows are routed one by one (there the domain of a batch's first row counts for all), the auxiliary network is
        on, specific factors start at one (there Glorot, so that products start very small), dropout
        (FIDELITY rows 14 and 16).
    """

    def __init__(
        self, schema: Schema, config: STARConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        domains = len(schema.domains)
        self.inputs = Inputs(schema, config.embedding, frozen=frozen)
        self.width = self.inputs.width - config.embedding
        self.norm = PartitionedNorm(domains, self.width)
        self.star = Star(domains, self.width, (*config.hidden, 1), config.dropout)
        self.auxiliary = Hidden(self.inputs.width, config.auxiliary, config.dropout)
        self.out = dense(config.auxiliary[-1], 1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        routing, (rows, constant) = Routing(batch["domain"]), self.inputs.split(batch)
        main = self.star(routing, self.norm(routing, rows[:, : self.width]))
        logits: Tensor = main + self.out(self.auxiliary(rows, constant))
        return logits.squeeze(1)
