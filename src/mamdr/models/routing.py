"""What a model keeps for each domain, and how a batch's rows find it.

B rows, D domains, G distinct domains of a batch, W values a domain keeps, N experts. Whatever a domain keeps is a row
of a table, so that a batch reads and moves the rows of its own domains, and a model of 10,000 domains computes what a
model of ten does. A batch of one domain, the usual case in training, takes one row and multiplies plainly; a mixed
batch is put in order of domains and goes domain by domain. No row ever meets another domain's layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mamdr.models.layers import ReLUDropout, multiply


class DomainRows(nn.Embedding):
    """A row of values for each domain, read once for each distinct domain of a batch."""

    def forward(self, input: Tensor, first: Tensor | None = None) -> Tensor:
        """Rows [G, W] of `input[first]`.

        Args:
            input: a batch's whole domain column (by which the engine knows that domains feed the table), or the
                domains wanted.
            first: where in `input` the domains wanted are found; None for all of it.
        """
        return super().forward(input if first is None else input.index_select(0, first))


class Routing:
    """A batch's rows by domain.

    A batch of one domain is known by its domain column, which is one value expanded (stride 0).

    Args:
        domain: [B], B >= 1.

    Cost: nothing for a batch of one domain, else a sort of B numbers.
    """

    def __init__(self, domain: Tensor) -> None:
        self.domain = domain
        self.one = len(domain) == 1 or domain.stride(0) == 0
        if self.one:
            self.distinct = domain[:1]
            return
        ordered, self.order = torch.sort(domain, stable=True)
        self.distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
        self.first = self.order.index_select(0, counts.cumsum(0) - counts)
        self.sizes: list[int] = counts.tolist()
        self.back = torch.argsort(self.order)

    def rows(self, table: DomainRows) -> Sequence[Tensor]:
        """G rows [W] of a table, in the order of `distinct`."""
        values = table(self.distinct) if self.one else table(self.domain, self.first)
        found: Sequence[Tensor] = values.unbind()
        return found

    def each(self, function: Callable[..., Tensor], rows: Tensor, *kept: Sequence[Tensor]) -> Tensor:
        """`function(rows of a domain, *what it keeps)` for each distinct domain, in the batch's order again.

        Args:
            function: of [b, V] and one entry of each of `kept`; gives [b, ...].
            rows: [B, V].
            kept: sequences of G.
        """
        if self.one:
            return function(rows, *(values[0] for values in kept))
        parts = torch.split(rows.index_select(0, self.order), self.sizes)
        done = [function(*of_domain) for of_domain in zip(parts, *kept, strict=True)]
        return torch.cat(done).index_select(0, self.back)


def kernels(domains: int, size: int, width: int, count: int = 1) -> DomainRows:
    """For each domain, `count` layers from `width` values to `size`: Glorot normal kernels, different for each, then
    biases of zero."""
    table = DomainRows(domains, count * size * (width + 1))
    cut = count * size * width
    nn.init.normal_(table.weight.detach()[:, :cut], std=(2 / (size + width)) ** 0.5)
    nn.init.zeros_(table.weight.detach()[:, cut:])
    return table


def unpack(values: Tensor, size: int, width: int, count: int = 1) -> tuple[Tensor, Tensor]:
    """Kernels [count, size, width] and biases [count, size] of a row of `kernels`."""
    cut = count * size * width
    return values[:cut].view(count, size, width), values[cut:].view(count, size)


class DomainLayers(nn.Module):
    """A small network for each domain: fully connected layers with ReLU and dropout between them.

    Args:
        domains: D.
        width: values a row.
        sizes: of the layers, the last one included (which has no ReLU).
        dropout: after each ReLU.

    Shapes: [B, V] and what is the same for every row, [1, C] (see `layers.multiply`), to [B, sizes[-1]].
    """

    def __init__(self, domains: int, width: int, sizes: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.shapes = [(size, before) for before, size in itertools.pairwise([width, *sizes])]
        self.tables = nn.ModuleList(kernels(domains, *shape) for shape in self.shapes)
        self.between = ReLUDropout(dropout)

    def forward(self, routing: Routing, rows: Tensor, constant: Tensor | None = None) -> Tensor:
        def network(rows: Tensor, *kept: Tensor) -> Tensor:
            out, shared = rows, constant
            for number, (values, shape) in enumerate(zip(kept, self.shapes, strict=True)):
                weight, bias = unpack(values, *shape)
                out = multiply(weight[0], bias[0], self.between(out) if number else out, shared)
                shared = None
            return out

        return routing.each(network, rows, *(routing.rows(table) for table in self.tables))  # type: ignore[arg-type]
