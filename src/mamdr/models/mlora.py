"""MLoRA: low-rank adapters of each domain on the layers of any module. B rows, D domains, r rank, V and S a layer's
values in and out."""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from mamdr.config import component, parse
from mamdr.data.domains import Batch
from mamdr.errors import ModelError
from mamdr.models.layers import multiply
from mamdr.models.mlp import MLPConfig
from mamdr.models.routing import DomainRows, Routing
from mamdr.models.settings import Width


def _mlp() -> dict[str, Any]:
    return {"name": "mlp", **dataclasses.asdict(MLPConfig())}


@component
class MLoRAConfig:
    """Settings of `MLoRA`.

    Args:
        base: the model that is adapted; in a recipe a table [model.base] with a name, and settings of its own.
        rank: r, the same for every adapted layer, at most the lesser of its values in and out; 0 for max(1, S //
            reduction), as in the paper.
        reduction: the paper's α; the larger, the lower the rank.
        layers: names of the layers that are adapted, as patterns ("deep.*").
    """

    base: dict[str, Any] = dataclasses.field(default_factory=_mlp)
    rank: Annotated[int, Field(ge=0, le=65536)] = 0
    reduction: Width = 16
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)


class _Current:
    """The batch under way, which the wrapper tells its adapters, and the layers that it has reached."""

    def __init__(self) -> None:
        self.routing: Routing | None = None
        self.reached = set[str]()


class Adapter(nn.Module):
    r"""What the domains add to one layer: B_d A_d x + b_d.

    A_d is Glorot normal and different for each domain, B_d and b_d are zero at the start: nothing is added.

    Args:
        name: the layer's, in the base.
        layer: a fully connected layer; b_d is there when it has a bias.
        domains: D.
        rank: r.
        current: the batch under way.
    """

    def __init__(self, name: str, layer: nn.Linear, domains: int, rank: int, current: _Current) -> None:
        super().__init__()
        self.name, self.current = name, current
        self.width, self.size, self.rank = layer.in_features, layer.out_features, rank
        self.parts = [rank * self.width, rank * self.size, self.size if layer.bias is not None else 0]
        self.own = DomainRows(domains, sum(self.parts)).to(layer.weight)
        cut = self.parts[0]
        nn.init.normal_(self.own.weight.detach()[:, :cut], std=math.sqrt(2 / (rank + self.width)))
        nn.init.zeros_(self.own.weight.detach()[:, cut:])

    def add(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """The forward hook of the layer. Outside of the wrapper's forward the base is the base."""
        routing = self.current.routing
        if routing is None:
            return output
        self.current.reached.add(self.name)
        rows, constant = (*args, *kwargs.values(), None)[:2]
        if not routing.one and len(rows) != len(routing.domain):
            raise ModelError(
                f"the layer {self.name!r} is given {len(rows)} rows in a batch of {len(routing.domain)}",
                "a row for each of the batch, whose domains choose the adapters",
                "Leave the layer out: name the others in `layers`",
            )

        def added(rows: Tensor, values: Tensor) -> Tensor:
            down, up, shift = self.unpack(values)
            flat = rows.flatten(1, -2) if values.ndim == 2 else rows
            out = multiply(up, shift, multiply(down, None, flat, constant))
            return out.view(*rows.shape[:-1], self.size)

        return output + routing.each(added, rows, routing.rows(self.own))

    def unpack(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """A_d [..., r, V], B_d [..., S, r] and b_d [..., S] of rows [..., W] of the table."""
        down, up, shift = torch.split(values, self.parts, dim=-1)
        return (
            torch.unflatten(down, -1, (self.rank, self.width)),
            torch.unflatten(up, -1, (self.size, self.rank)),
            shift if self.parts[2] else None,
        )


class MLoRA(nn.Module):
    r"""Any module, with low-rank adapters of each domain on its fully connected layers.

        W x + b   becomes   W x + b + B_d A_d x + b_d          for a row x of domain d

    B_d A_d has rank r, so that a domain keeps r (V + S) + S values a layer instead of V · S. At the start nothing is
    added: the module scores as its base, bit for bit.

    The base's code needs no change. It is called with the same batches; hooks on its layers add what the rows' domains
    keep. A layer of one output is left alone, as in the authors' code: there is no rank to lower. So is all that is no
    `nn.Linear`: embeddings, experts that lie in one kernel, what a base keeps by domain itself.

    Args:
        base: a module of ours or any other: batch in, logits [B] out. Its layers keep their names and weights.
        domains: D.
        rank, reduction, layers: as in `MLoRAConfig`.

    Raises:
        ModelError: a rank above a layer's width, no layer to adapt; and in the first forward pass, which is before
            training, an adapted layer that the base does not call (it reads its weight in some other way).

    Cost: beside the base r (V + S) products a row and layer, however many domains there are.
    Memory: at the default sizes and two id columns 14,528 values a domain on an MLP.
    Reference: Yang et al., MLoRA: Multi-Domain Low-Rank Adaptive Network for Click-Through Rate Prediction, RecSys
        2024.
    Differs from it: the paper trains the base on all domains first and then, with the base frozen, the adapters. A
        recipe trains both together (as the authors' code does on every base but the MLP): a domain's batches move
        the base and its own adapters. The two stages are two calls: train the base alone; wrap it, its parameters
        frozen (`base.requires_grad_(False)`), and train again. Or take turns each round, by strategy `freeze` with
        frozen = "adapters.*", and then with frozen = "base.*". From the authors' code: each row has its own domain's
        adapter (there the domain of a batch's first row counts for all); dropout falls on the layer and its adapter
        together, after the ReLU, where the base has it (there on the layer alone, before). The bias b_d is theirs.

    >>> module = MLoRA(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1)), domains=3, rank=2)
    >>> [(adapter.name, tuple(adapter.own.weight.shape)) for adapter in module.adapters]
    [('0', (3, 34))]
    """

    def __init__(
        self,
        base: nn.Module,
        domains: int,
        *,
        rank: int = 0,
        reduction: int = 16,
        layers: tuple[str, ...] = ("*",),
    ) -> None:
        super().__init__()
        config = parse(MLoRAConfig, {"rank": rank, "reduction": reduction, "layers": layers}, "model")
        self.base, self.current, self.checked = base, _Current(), False
        adapted = {
            name: layer
            for name, layer in base.named_modules()
            if isinstance(layer, nn.Linear) and layer.out_features > 1 and _named(name, config.layers)
        }
        if not adapted:
            raise ModelError(
                f"no layer to adapt in {type(base).__name__} among {', '.join(config.layers)}",
                "an nn.Linear with more than one output",
                "Correct `layers`, or choose another base",
            )
        self.adapters = nn.ModuleList(
            Adapter(name, layer, domains, _rank(name, layer, config), self.current)
            for name, layer in adapted.items()
        )
        self._handles = [
            adapted[adapter.name].register_forward_hook(adapter.add, with_kwargs=True)
            for adapter in self._each()
        ]

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        self.current.routing = Routing(batch["domain"])
        try:
            logits: Tensor = self.base(batch)
        finally:
            self.current.routing = None
        if not self.checked:
            self._check()
        return logits

    def _each(self) -> list[Adapter]:
        return [adapter for adapter in self.adapters if isinstance(adapter, Adapter)]

    def _check(self) -> None:
        """Once: does the base call every layer that is adapted?"""
        silent = [adapter.name for adapter in self._each() if adapter.name not in self.current.reached]
        if silent:
            raise ModelError(
                f"the base never calls the adapted layers {', '.join(silent)}",
                "layers that it calls, and not only reads",
                "Name the other layers in `layers`",
            )
        self.checked = True

    @torch.no_grad()
    def merged(self, domain: int) -> nn.Module:
        """The base for one domain, its adapters added to the weights: W + B_d A_d, b + b_d. Scores the domain's rows
        at the base's own cost."""
        plain = copy.deepcopy(self)
        for handle in plain._handles:
            handle.remove()
        for adapter in plain._each():
            layer = plain.base.get_submodule(adapter.name)
            assert isinstance(layer, nn.Linear)
            down, up, shift = adapter.unpack(adapter.own.weight[domain])
            layer.weight.add_(up @ down)
            if shift is not None:
                layer.bias.add_(shift)
        return plain.base


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _rank(name: str, layer: nn.Linear, config: MLoRAConfig) -> int:
    most = min(layer.in_features, layer.out_features)
    if config.rank > most:
        raise ModelError(
            f"rank {config.rank} for the layer {name!r} of {layer.in_features} to {layer.out_features} values",
            f"at most {most}",
            "Lower rank, leave the layer out of `layers`, or set rank = 0 for a share of each layer's outputs",
        )
    return config.rank or max(1, min(most, layer.out_features // config.reduction))
