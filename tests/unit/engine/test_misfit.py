"""A module that does not fit the data is told so in one line, before training and with nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mamdr
from mamdr.data.domains import Batch
from mamdr.errors import ConfigError, ModelError
from mamdr.testing import NormedTables, TwoTables, tiny_market
from mamdr.testing.market import USERS

DATA = tiny_market((9, 8, 7, 6))
FEWER = tiny_market((9, 8, 7))


class WrongName(TwoTables):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) * batch["pirce"]


class OwnKeyError(TwoTables):
    """A key that it lacks in a table of its own is not the batch's fault."""

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) * {}["user_id"]  # type: ignore[no-any-return]


class Small(TwoTables):
    def __init__(self) -> None:
        super().__init__()
        self.item = nn.Embedding(5, 4)


class SmallFrozen(Small):
    def __init__(self) -> None:
        super().__init__()
        self.item.requires_grad_(False)


class SmallHash(TwoTables):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch | {"user_id": batch["user_id"] * 2})


class DomainTable(TwoTables):
    """Built for three domains."""

    def __init__(self) -> None:
        super().__init__()
        self.domain = nn.Embedding(3, 1)

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + self.domain(batch["domain"]).squeeze(1)


class ListOfTowers(TwoTables):
    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleList(nn.Linear(4, 1) for _ in range(3))

    def forward(self, batch: Batch) -> Tensor:
        rows, domain = self.user(batch["user_id"]), batch["domain"]
        logits = super().forward(batch)
        for number in set(domain.tolist()):
            logits = logits + torch.where(domain == number, self.towers[number](rows).squeeze(1), 0)
        return logits


class Gathered(TwoTables):
    """A logit for each of three domains, of which the row's is picked."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, batch: Batch) -> Tensor:
        return self.out(self.user(batch["user_id"])).gather(1, batch["domain"].unsqueeze(1)).squeeze(1)


class Narrow(TwoTables):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(7, 6)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            WrongName,
            "the module reads 'pirce' from a batch; expected one of the columns domain, hour, item_id, user_id.",
        ),
        (OwnKeyError, "fails on a batch of this data: KeyError: 'user_id'"),
        (
            Small,
            "the embedding 'item' has 5 rows, and column 'item_id' holds ids up to 16; expected 17 rows or more. "
            "Size it by the data's schema (schema.ids).",
        ),
        (SmallFrozen, "the embedding 'item' has 5 rows, and column 'item_id' holds ids up to 16"),
        (SmallHash, f"'user' has {USERS} rows, and what the module makes of the columns holds ids up to 44"),
        (
            DomainTable,
            "the embedding 'domain' has 3 rows, and column 'domain' holds ids up to 3; expected 4 rows or more. "
            "Size it by the data's schema (len(schema.domains)).",
        ),
        (
            ListOfTowers,
            "the module takes rows of domain 0, but not of all domains: IndexError: index 3 is out of range; expected "
            "what it keeps by domain for each of the data's 4. Build it for this data (len(schema.domains)).",
        ),
        (
            Gathered,
            "the module takes rows of domain 0, but not of all domains: RuntimeError: index 3 is out of bounds",
        ),
        (Narrow, "fails on a batch of this data: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_fit_says_why(kind: type[nn.Module], message: str, tmp_path: Path) -> None:
    module = kind()
    with pytest.raises(ModelError) as caught:
        mamdr.fit(module, DATA, folder=tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert not any(part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("kind", [DomainTable, ListOfTowers, Gathered])
def test_the_same_modules_fit_fewer_domains(kind: type[nn.Module]) -> None:
    mamdr.fit(kind(), FEWER, rounds=1, batch_size=8)


def test_a_module_for_fewer_domains_opens_no_run(tmp_path: Path) -> None:
    mamdr.fit(NormedTables(), DATA, rounds=1, batch_size=8, folder=tmp_path / "run")
    with pytest.raises(ModelError, match="the embedding 'domain' has 3 rows"):
        mamdr.Run.open(tmp_path / "run", module=DomainTable(), data=DATA)
    with pytest.raises(mamdr.errors.CheckpointError, match=r"are not those that .* was trained on"):
        mamdr.Run.open(tmp_path / "run", module=NormedTables(), data=FEWER)


@pytest.mark.parametrize("name", ["shared_bottom", "mmoe", "cgc", "ple", "star", "pepnet"])
def test_our_models_built_for_fewer_domains(name: str) -> None:
    module = mamdr.models.build(name, FEWER.schema, {"embedding": 4})
    with pytest.raises(
        ModelError, match=r"has 3 rows, and column 'domain' holds ids up to 3; expected 4 rows"
    ):
        mamdr.fit(module, DATA)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mlp", {"hidden": [0]}, "model.hidden.0 = 0; expected greater than or equal to 1"),
        ("mlp", {"embedding": 0}, "model.embedding = 0; expected greater than or equal to 1"),
        ("mmoe", {"count": 1}, "model.count = 1; expected greater than or equal to 2"),
        ("cgc", {"shared": 0}, "model.shared = 0; expected greater than or equal to 1"),
        ("ple", {"specific": 2000}, "model.specific = 2000; expected less than or equal to 1024"),
        ("ple", {"levels": 0}, "model.levels = 0; expected greater than or equal to 1"),
        ("autoint", {"heads": 0}, "model.heads = 0; expected greater than or equal to 1"),
        (
            "pepnet",
            {"prior": ["brand"]},
            "model.prior names 'brand'; expected one of the columns",
        ),
        ("sar_net", {"intervention": "brand"}, "model.intervention = 'brand'; expected a numeric column"),
        ("mlp", {"features": {"without": ["brand"]}}, "brand"),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ModelError)) as caught:
        mamdr.models.build(name, DATA.schema, settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
