"""Features kept apart, for models that let them interact. B rows, F features, E embedding width."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mamdr.data.domains import Batch, Schema
from mamdr.models.inputs import Inputs


class Fields(nn.Module):
    """The same embeddings as one vector a row, and as F vectors of one width.

    A numeric column x is the vector x · v, with v trained, as in factorisation machines. Vectors made elsewhere that
    are not E wide are brought there by a trained linear map, P · v[x]: those of different widths cannot be multiplied.

    Args:
        schema: the data's columns.
        embedding: E.
        domain_embedding: whether the domain is a feature.
        frozen: by id column, vectors [number of ids, any width] that are used as they are (see `Inputs`).
        std: trained vectors start from N(0, std²).
    """

    def __init__(
        self,
        schema: Schema,
        embedding: int,
        *,
        domain_embedding: bool = True,
        frozen: Mapping[str, Tensor] | None = None,
        std: float = 1e-4,
    ) -> None:
        super().__init__()
        self.inputs = Inputs(schema, embedding, domain_embedding=domain_embedding, frozen=frozen, std=std)
        self.embedding, self.ids = embedding, len(schema.ids)
        self.widths = self.inputs.widths
        self.project = nn.ModuleDict(
            {
                str(place): _map(width, embedding)
                for place, width in enumerate(self.widths)
                if width != embedding
            }
        )
        self.count = len(schema.ids) + len(schema.numeric) + domain_embedding
        numeric = torch.empty(len(schema.numeric), embedding)
        self.numeric = nn.Parameter(nn.init.normal_(numeric, std=std)) if schema.numeric else None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor]:
        """What `Inputs.split` gives, and [B, F, E]: ids, numbers, the domain."""
        rows, constant = self.inputs.split(batch)
        cut, numbers = sum(self.widths), len(self.inputs.numeric)
        parts = [self._alike(rows[:, :cut])]
        if self.numeric is not None:
            parts.append(rows[:, cut : cut + numbers].unsqueeze(2) * self.numeric)
        if constant is not None:
            parts.append(constant.unsqueeze(0).expand(len(rows), 1, -1))
        elif rows.shape[1] > cut + numbers:
            parts.append(rows[:, cut + numbers :].unsqueeze(1))
        return rows, constant, torch.cat(parts, dim=1)

    def _alike(self, rows: Tensor) -> Tensor:
        """The ids' vectors [B, ids, E]."""
        if self.project:
            each = torch.split(rows, self.widths, dim=1)
            rows = torch.cat(
                [
                    self.project[str(place)](v) if str(place) in self.project else v
                    for place, v in enumerate(each)
                ],
                dim=1,
            )
        return rows.reshape(len(rows), self.ids, self.embedding)


def _map(width: int, embedding: int) -> nn.Linear:
    linear = nn.Linear(width, embedding, bias=False)
    nn.init.xavier_normal_(linear.weight)
    return linear


class Wide(nn.Module):
    """The linear part: a weight for each id, number and domain; w(x) = Σ_f w_f[x_f] + Σ_k w_k · x_k.

    A weight for each id is an embedding of width 1, so that it costs the rows of a batch; an id has one whether or not
    it came with a vector.
    """

    def __init__(self, schema: Schema, *, domain_embedding: bool = True) -> None:
        super().__init__()
        schema = dataclasses.replace(schema, vectors={})
        self.inputs = Inputs(schema, 1, domain_embedding=domain_embedding)
        self.ids, self.numbers = len(schema.ids), len(schema.numeric)
        self.numeric = nn.Parameter(torch.zeros(self.numbers)) if schema.numeric else None

    def forward(self, batch: Batch) -> Tensor:
        """[B]."""
        rows, constant = self.inputs.split(batch)
        cut = self.ids + self.numbers
        total = rows[:, : self.ids].sum(1) + rows[:, cut:].sum(1)
        if self.numeric is not None:
            total = total + rows[:, self.ids : cut] @ self.numeric
        return total if constant is None else total + constant.squeeze(1)


def interactions(fields: Tensor) -> Tensor:
    """The products of every two features, summed: Σ_{f<g} v_f ⊙ v_g = ½ ((Σ_f v_f)² − Σ_f v_f²).

    Shapes: [B, F, E] to [B, E]. Cost: F · E a row, not F² · E.

    >>> interactions(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
    tensor([[23., 44.]])
    """
    return (fields.sum(1).square() - fields.square().sum(1)) / 2
