"""Every registered model passes the suite that an outside author's model has to pass."""

from __future__ import annotations

from tests.unit.models.zoo import SMALL, larger
from torch import nn

from mamdr.data.domains import Dataset, Schema
from mamdr.models import MODELS, build
from mamdr.testing import ModelConformance, tiny_market

INEXACT = {"pepnet", "adasparse"}
"""PEPNet stops gradients at its gates; AdaSparse adds those of its penalty."""


def _suite(name: str) -> type[ModelConformance]:
    class Suite(ModelConformance):
        exact_gradients = name not in INEXACT

        def module(self, schema: Schema) -> nn.Module:
            return build(name, schema, SMALL[name])

        def learner(self, schema: Schema) -> nn.Module:
            return build(name, schema, larger(SMALL[name]))

        def data(self) -> Dataset:
            return tiny_market(numeric=True, lists=True)

    return Suite


for _name in sorted(MODELS):
    globals()[f"Test_{_name}"] = _suite(_name)
