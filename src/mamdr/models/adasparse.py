"""AdaSparse: each domain prunes the hidden units that it has no use for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mamdr.config import component
from mamdr.data.domains import Batch, Schema
from mamdr.errors import ConfigError
from mamdr.models.asides import aside, beside, embeddings
from mamdr.models.inputs import Inputs
from mamdr.models.layers import ReLUDropout, dense
from mamdr.models.settings import Rate, Width, Widths

Slope = Annotated[float, Field(gt=0, le=1000)]
Weight = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]


@component
class AdaSparseConfig:
    """Settings of `AdaSparse`.

    Args:
        embedding: width of each feature's embedding.
        hidden: sizes of the layers that are pruned.
        beta: β, the most that a unit is scaled by.
        threshold: ε, factors up to which a unit is pruned; with 0 none is (the paper's Scaling).
        alpha: α, the slope of the factors, at the first batch and after `steps` batches.
        sparsity: the least and the largest share of pruned units that costs nothing.
        penalty: λ̂, what shares outside cost, at the first batch and after `steps` batches; 0 for no regularisation.
        steps: training batches over which α and λ̂ go from their first value to their last.
        dropout: after each hidden layer.
    """

    embedding: Width = 128
    hidden: Widths = (256, 128, 64)
    beta: Annotated[float, Field(ge=1, le=100)] = 2.0
    threshold: Annotated[float, Field(ge=0, le=100)] = 0.25
    alpha: tuple[Slope, Slope] = (0.1, 5.0)
    sparsity: tuple[Share, Share] = (0.15, 0.25)
    penalty: tuple[Weight, Weight] = (0.01, 1.0)
    steps: Annotated[int, Field(ge=1)] = 1000
    dropout: Rate = 0.5

    def __post_init__(self) -> None:
        if self.sparsity[0] > self.sparsity[1]:
            raise ConfigError(
                f"model.sparsity = {self.sparsity}", "the least share, then the largest", "Swap the two"
            )
        if self.threshold >= self.beta / 2:
            raise ConfigError(
                f"model.threshold = {self.threshold} with model.beta = {self.beta}",
                "a threshold below β / 2, where every factor starts",
                "Lower the threshold: at this one every unit is pruned at once",
            )


class Pruner(nn.Module):
    r"""Scales each unit of a layer by a factor of the row's domain and the layer itself; small factors become zero.

        π = β · sigmoid(α · (W [h | v_d] + b)),    h' = h ⊗ π where π > ε, else 0

    W and b start at zero, so that every factor starts at β / 2: with β = 2 at one, where it changes nothing.

    Args:
        width: units of the layer.
        domain: width of a domain's embedding.
        beta, threshold: β and ε.

    Shapes: h [B, width], the domain's embedding as `aside` gives it, and α to h' [B, width] and the share of pruned
        units of the batch. The share's gradient is that of 1 − mean sigmoid (straight through the threshold).
    Reference: AdaSparse (see `AdaSparse`), domain-aware pruner, Fusion.
    """

    def __init__(self, width: int, domain: int, beta: float, threshold: float) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold
        self.weigh = dense(width + domain, width)
        nn.init.zeros_(self.weigh.weight)

    def forward(self, rows: Tensor, domain: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        opened = torch.sigmoid(alpha * self.weigh(*beside(rows, domain)))
        factors = self.beta * opened
        kept = (factors > self.threshold).to(factors.dtype)
        pruned = 1 - (kept + opened - opened.detach()).mean()
        return rows * factors * kept, pruned


class AdaSparse(nn.Module):
    r"""A multi-layer perceptron of which each row uses the units that its domain keeps.

        h_l = prune_l(relu(W_l h_{l-1} + b_l), v_d),    h_0 = [x | v_d]        for a row x of domain d
        logit = u · h_L + b

    The training loss has a penalty besides, which holds the share r_l of pruned units of layer l in [low, high]:

        R = mean over layers of λ_l |r_l − r|,    r = (low + high) / 2
        λ_l = 0 for low <= r_l <= high, else λ̂ |r_l − r|, taken as a number

    A module has no say in the loss, so R enters through its gradient: a backward pass adds that of R to that of
    whatever loss the logits went into. The loss that is reported is without R.

    Buffers: `batches` counts training batches; α and λ̂ go with it from their first values to their last. Where walks
        for single domains set the buffers (see docs/architecture.md), it goes on with the longest of them alone.

    Args:
        schema: the data's columns.
        config: the settings.
        frozen: by id column, vectors that are used as they are (see `Inputs`).

    Cost: an MLP's, and a product [B, size + E] x [size + E, size] for each layer; nothing is saved by what is pruned. A
        domain more is a row of embeddings more.
    Reference: Yang et al., AdaSparse: Learning Adaptively Sparse Structures for Multi-Domain Click-Through Rate
        Prediction, CIKM 2022 (arXiv 2206.13108).
    Differs from it: the third of its factors alone (Fusion, its best; `threshold = 0` makes the second, Scaling); a
        domain is its id; dropout; factors start at β / 2; a layer is pruned after its dropout. Readings: the pruned
        layers are the hidden ones, not the embeddings; a pruner sees [h_l | v_d]; r_l is counted over the batch's
        rows; ε = 0.25, the last λ̂ and `steps` are ours (its α goes from 0.1 to 5, λ̂ begins at 0.01, shares are 0.15 to
        0.25, β = 2).
    """

    batches: Tensor

    def __init__(
        self, schema: Schema, config: AdaSparseConfig, frozen: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.inputs = Inputs(schema, config.embedding, domain_embedding=False, frozen=frozen)
        self.domains = embeddings(len(schema.domains), config.embedding)
        self.first = dense(self.inputs.width + config.embedding, config.hidden[0])
        self.layers = nn.ModuleList(itertools.starmap(dense, itertools.pairwise(config.hidden)))
        self.pruners = nn.ModuleList(
            Pruner(size, config.embedding, config.beta, config.threshold) for size in config.hidden
        )
        self.after = ReLUDropout(config.dropout)
        self.out = dense(config.hidden[-1], 1)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        alpha, domain = self._now(self.config.alpha), aside(self.domains, batch["domain"])
        before, shares = self.first(*beside(self.inputs(batch), domain)), []
        for pruner, layer in zip(self.pruners, [*self.layers, self.out], strict=True):
            hidden, share = pruner(self.after(before), domain, alpha)
            shares.append(share)
            before = layer(hidden)
        logits: Tensor = before.squeeze(1)
        if not self.training:
            return logits
        penalty = self.penalty(torch.stack(shares))
        self.batches += 1
        return _Penalised.apply(logits, penalty)  # type: ignore[no-any-return, no-untyped-call]

    def penalty(self, shares: Tensor) -> Tensor:
        """R, of the layers' shares [L]."""
        low, high = self.config.sparsity
        gaps = (shares - (low + high) / 2).abs()
        outside = (shares.detach() < low) | (shares.detach() > high)
        return (self._now(self.config.penalty) * gaps.detach() * outside * gaps).mean()

    def _now(self, ends: tuple[float, float]) -> Tensor:
        """Between the first value and the last, by the batches so far."""
        done = (self.batches.double() / self.config.steps).clamp(max=1)
        return ends[0] + (ends[1] - ends[0]) * done


class _Penalised(torch.autograd.Function):
    """The logits as they are; a backward pass adds the penalty's gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, penalty: Tensor) -> Tensor:
        ctx.like = penalty
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, torch.ones_like(ctx.like)
