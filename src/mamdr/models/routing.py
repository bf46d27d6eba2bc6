"""What a model keeps for each domain, and how a batch's rows find it.

B rows, D domains, G distinct domains of a batch, W values a domain keeps, N experts. Whatever a domain keeps is a row
of a table, so that a batch reads and moves the rows of its own domains, and a model of 10,000 domains computes what a
model of ten does. A batch of one domain, the usual case in training, takes one row and multiplies plainly; a mixed
batch is put in order of domains and multiplied by batches of kernels. No row meets another domain's layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mamdr.models.layers import ReLUDropout, multiply

_CACHED = 3 << 17
"""Values that are copied out of tables at once where nothing needs the copy later: 1.5 MB, about a core's cache."""


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

    A batch of one domain is known by its domain column, which is one value expanded (stride 0). In a mixed batch,
    domains of like numbers of rows (up to twice as many) are computed together, each with its rows padded to as many.

    Attributes:
        one: whether it is a batch of one domain.
        distinct: [G], the domains.
        counts, which: of a mixed batch, rows of each distinct domain [G], and each row's place in `distinct` [B].

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
        ordered, order = torch.sort(domain, stable=True)
        distinct, counts = torch.unique_consecutive(ordered, return_counts=True)
        starts = counts.cumsum(0) - counts
        counts, by_size = torch.sort(counts, stable=True)
        starts, self.distinct, self.counts = starts[by_size], distinct[by_size], counts
        self.which = torch.empty_like(order)
        self.which[order] = torch.argsort(by_size).repeat_interleave(counts[torch.argsort(by_size)])
        self.first = order[starts]
        self.groups = list(_groups(starts, counts))
        self._places = [order[places] for places, _ in self.groups]
        placed = [places[real] for places, (_, real) in zip(self._places, self.groups, strict=True)]
        self._back = torch.argsort(torch.cat(placed))

    def rows(self, table: nn.Module) -> Tensor:
        """Rows [G, W] of a table of domains, in the order of `distinct`."""
        found: Tensor = table(self.distinct) if self.one else table(self.domain, self.first)
        return found

    def each(self, function: Callable[..., Tensor], rows: Tensor, *kept: Tensor | DomainRows) -> Tensor:
        """`function(a domain's rows, *what it keeps)` for each distinct domain, in the batch's order again.

        Args:
            function: of rows [b, V] and what is kept [W]...; or of several domains at once, of [g, b, V] and [g, W]....
                Gives [b, ...], or [g, b, ...].
            rows: [B, V].
            kept: tables of domains; or values [G, W], in the order of `distinct`.

        Cost: one call of the function for each power of two that lies between the numbers of rows of two domains, each
            on at most twice as many rows as there are. Without gradients a call is cut into several, so that what is
            kept for its domains is copied out of the tables into the processor's cache, and not through memory.
        """
        if self.one:
            return function(rows, *((k if isinstance(k, Tensor) else self.rows(k))[0] for k in kept))
        if torch.is_grad_enabled():  # the backward pass needs every copy, and is best off with one a table
            kept = tuple(k if isinstance(k, Tensor) else self.rows(k) for k in kept)
        values = sum(k.embedding_dim for k in kept if not isinstance(k, Tensor))
        most = max(1, _CACHED // values) if values else len(self.domain)
        done, begin = [], 0
        for places, (_, real) in zip(self._places, self.groups, strict=True):
            for part, true in zip(torch.split(places, most), torch.split(real, most), strict=True):
                cut = slice(begin, begin + len(part))
                own = [k[cut] if isinstance(k, Tensor) else k(self.domain, self.first[cut]) for k in kept]
                done.append(function(rows[part], *own)[true])
                begin = cut.stop
        return torch.cat(done).index_select(0, self._back)


def _groups(starts: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Domains computed together, g of them with up to b rows: places [g, b] in the rows by domain, and which are real.

    A domain of fewer rows has its last one again.

    Args:
        starts, counts: [G], of each domain, counts ascending.
    """
    classes = torch.frexp(counts.double())[1]
    sizes = torch.unique_consecutive(classes, return_counts=True)[1].tolist()
    for begin, many in zip(torch.split(starts, sizes), torch.split(counts, sizes), strict=True):
        steps = torch.arange(int(many[-1]), device=starts.device)
        places = begin.unsqueeze(1) + torch.minimum(steps, many.unsqueeze(1) - 1)
        yield places, steps < many.unsqueeze(1)


def kernels(domains: int, size: int, width: int, count: int = 1) -> DomainRows:
    """For each domain, `count` layers from `width` values to `size`: Glorot normal kernels, different for each, then
    biases of zero."""
    table = DomainRows(domains, count * size * (width + 1))
    cut = count * size * width
    nn.init.normal_(table.weight.detach()[:, :cut], std=(2 / (size + width)) ** 0.5)
    nn.init.zeros_(table.weight.detach()[:, cut:])
    return table


def zeros(domains: int, width: int) -> DomainRows:
    """A row of `width` zeros for each domain."""
    table = DomainRows(domains, width)
    nn.init.zeros_(table.weight)
    return table


def unpack(values: Tensor, size: int, width: int, count: int = 1) -> tuple[Tensor, Tensor]:
    """Kernels [..., count, size, width] and biases [..., count, size] of rows [..., W] of `kernels`."""
    cut, leading = count * size * width, values.shape[:-1]
    weight = values[..., :cut].reshape(*leading, count, size, width)
    return weight, values[..., cut:].reshape(*leading, count, size)


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
                before = self.between(out) if number else out
                out = multiply(weight.squeeze(-3), bias.squeeze(-2), before, shared)
                shared = None
            return out

        return routing.each(network, rows, *self.tables)
