"""The models' suite catches what it is there for, and an honest module of an outside author's passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from mamdr.data.domains import Batch, Schema
from mamdr.testing import ModelConformance


class Towers(nn.Module):
    """Two embeddings, then for each domain a normalisation and a tower in a list, as most people write it."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        domains = len(schema.domains)
        self.user = nn.Embedding(schema.ids["user_id"], 8)
        self.item = nn.Embedding(schema.ids["item_id"], 8)
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)) for _ in range(domains)
        )
        self.register_buffer("seen", torch.zeros(domains))

    def rows(self, batch: Batch) -> Tensor:
        return torch.cat([self.user(batch["user_id"]), self.item(batch["item_id"])], dim=1)

    def forward(self, batch: Batch) -> Tensor:
        rows, domain = self.rows(batch), batch["domain"]
        logits = rows.new_zeros(len(rows))
        for number in domain.unique().tolist():
            mine = domain == number
            logits = logits.index_put((mine,), self.towers[number](rows[mine]).squeeze(1))
        if self.training:
            self.seen += torch.bincount(domain, minlength=len(self.seen))
        return logits


def _tower() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


class Conformance(ModelConformance):
    """The suite for a class; what differs from `Towers` is given as attributes."""

    kind: type[nn.Module] = Towers

    def module(self, schema: Schema) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return self.kind(schema)

    def domain_of(self, name: str) -> int | None:
        return int(name.split(".")[1]) if name.startswith("towers.") else None


class TestTowers(Conformance):
    pass


class MeanOfBatch(Towers):
    def rows(self, batch: Batch) -> Tensor:
        rows = super().rows(batch)
        return rows - rows.mean(0)


class ByPlace(Towers):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + torch.arange(len(batch["domain"]))


class Unused(Towers):
    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.nothing = nn.Parameter(torch.ones(2))

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + 0 * self.nothing.sum()


class WrongGradient(Towers):
    def rows(self, batch: Batch) -> Tensor:
        rows = super().rows(batch)
        return rows + rows.detach()


class EveryTower(Towers):
    """All towers see all rows."""

    def forward(self, batch: Batch) -> Tensor:
        everywhere = torch.stack([tower(self.rows(batch)).squeeze(1) for tower in self.towers])
        return super().forward(batch) + everywhere.mean(0)


class CountsForAll(Towers):
    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            self.seen += 1
        return super().forward(batch)


class NoPadding(Towers):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) / batch["user_id"]


class Column(Towers):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).unsqueeze(1)


class ChangesBatch(Towers):
    def forward(self, batch: Batch) -> Tensor:
        batch["item_id"].clamp_(max=3)
        return super().forward(batch)


class Forgetful(Towers):
    """Its scores depend on a buffer that is not saved."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) * self.scale


class WeightByHand(Towers):
    """Looks rows up without the embedding, so that its table must be held whole."""

    def rows(self, batch: Batch) -> Tensor:
        return super().rows(batch) + self.user.weight.sum()


class OneTower(Towers):
    """Takes no notice of the domain."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch | {"domain": torch.zeros_like(batch["domain"])})


@pytest.mark.parametrize(
    ("kind", "test", "claims"),
    [
        (MeanOfBatch, "a_score_does_not_depend_on_the_other_rows", {}),
        (ByPlace, "a_score_does_not_depend_on_the_order_of_rows", {}),
        (Unused, "gradients_reach_every_parameter", {}),
        (Unused, "every_parameter_can_learn", {}),
        (WrongGradient, "gradients_are_those_of_the_scores", {}),
        (EveryTower, "a_domains_rows_give_no_other_domain_a_gradient", {}),
        (EveryTower, "training_on_a_domain_leaves_what_others_keep_alone", {}),
        (CountsForAll, "training_on_a_domain_leaves_what_others_keep_alone", {}),
        (NoPadding, "every_id_and_every_domain_scores", {}),
        (Column, "forward_returns_a_finite_logit_a_row", {}),
        (ChangesBatch, "the_batch_is_left_as_it_was", {}),
        (Forgetful, "a_saved_module_scores_as_before", {}),
        (WeightByHand, "the_engine_can_hold_its_tables_by_rows", {}),
        (Towers, "the_engine_can_hold_its_tables_by_rows", {"by_rows": False}),
        (OneTower, "learns_opposite_checkerboards", {}),
        (Towers, "learns_a_checkerboard", {"interactions": False}),
        (Towers, "learns_opposite_checkerboards", {"knows_domain": False}),
    ],
)
def test_a_fault_is_caught(kind: type[nn.Module], test: str, claims: dict[str, Any]) -> None:
    suite = type("Suite", (Conformance,), {"kind": kind, **claims})()
    with pytest.raises((AssertionError, GradcheckError)):
        getattr(suite, f"test_{test}")()
