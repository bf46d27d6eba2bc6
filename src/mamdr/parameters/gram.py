"""Inner products of points: the Gram matrix of many domains' gradients, without a table for each of them.

    gram[i, j] = <dense_i, dense_j> + Σ over tables, over the rows r that both hold, of <row_i,r, row_j,r>

G points, P dense values, E entries (a point's row), d a table's width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mamdr.parameters.point import Point

BLOCK = 1 << 22
"""Values held in double precision at once."""


def gram(points: Sequence[Point]) -> Tensor:
    """The inner products of points with each other, [G, G] float64, symmetric to the bit.

    Rows that a point lacks count as zeros; they are never made. Products are taken and summed in float64.

    Args:
        points: of one space.

    Cost: G² · P for the dense parts, Σ over rows of m² · d where m points hold a row. Memory: the rows once more.

    >>> from torch import nn
    >>> from mamdr.parameters import Space
    >>> space = Space.of(nn.Embedding(9, 2))
    >>> one = Point(space, (torch.tensor([1, 4]),), torch.tensor([1.0, 2.0, 3.0, 4.0]))
    >>> two = Point(space, (torch.tensor([4, 7]),), torch.tensor([10.0, 0.0, 5.0, 5.0]))
    >>> gram([one, two]).tolist()
    [[30.0, 30.0], [30.0, 150.0]]
    """
    result = dense_gram([point.dense for point in points])
    for table in range(len(points[0].ids) if points else 0):
        counts = torch.tensor([len(point.ids[table]) for point in points])
        result += rows_gram(
            torch.repeat_interleave(counts),
            torch.cat([point.ids[table] for point in points]),
            torch.cat([point.rows(table) for point in points]),
            len(points),
        )
    return result


def dense_gram(vectors: Sequence[Tensor]) -> Tensor:
    """Inner products of vectors [P] with each other, [G, G] float64."""
    count = len(vectors)
    result = torch.zeros(count, count, dtype=torch.float64, device=vectors[0].device if vectors else None)
    size = len(vectors[0]) if vectors else 0
    block = max(1, BLOCK // max(1, count))
    for start in range(0, size, block):
        part = torch.stack([vector[start : start + block] for vector in vectors]).to(torch.float64)
        result.addmm_(part, part.T)
    return (result + result.T) / 2


def rows_gram(owners: Tensor, ids: Tensor, values: Tensor, count: int) -> Tensor:
    """Inner products of sparse row matrices with each other, [count, count] float64.

    Args:
        owners: [E], to whom an entry belongs, in [0, count).
        ids: [E], the entry's row; an owner has a row at most once.
        values: [E, d].

    Rows are taken together by how many owners have them, so that each group is one batch of small products.
    """
    device = values.device
    result = torch.zeros(count, count, dtype=torch.float64, device=device)
    order = torch.argsort(ids.to(device), stable=True)
    owners = owners.to(device)[order]
    _, shared_by = torch.unique_consecutive(ids.to(device)[order], return_counts=True)
    starts = torch.cumsum(shared_by, 0) - shared_by
    for m in torch.unique(shared_by).tolist():
        first = starts[shared_by == m]
        for some in torch.split(first, max(1, BLOCK // (m * max(m, values.shape[1])))):
            places = some[:, None] + torch.arange(m, device=device)
            rows = values[order[places]].to(torch.float64)
            who = owners[places]
            pairs = (who[:, :, None] * count + who[:, None, :]).flatten()
            # Sums of float64 by `index_put_` keep their order, whatever the number of threads.
            products = torch.bmm(rows, rows.transpose(1, 2)).flatten()
            result.view(-1).index_put_((pairs,), products, accumulate=True)
    return (result + result.T) / 2
