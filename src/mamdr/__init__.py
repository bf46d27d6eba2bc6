"""Multi-domain recommendation: Domain Negotiation and Domain Regularization over any PyTorch model.

>>> import mamdr
>>> data = mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200)
>>> data.schema.domains
('domain-00000', 'domain-00001', 'domain-00002')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from mamdr import combiners, engine, errors, models, parameters, strategies
from mamdr.data import Dataset, Schema
from mamdr.lazily import late
from mamdr.training import Recipe, Run, Trainer, TrainOptions, fit

if TYPE_CHECKING:
    from mamdr.data.market import synthetic_market

__all__ = [
    "Dataset",
    "Recipe",
    "Run",
    "Schema",
    "TrainOptions",
    "Trainer",
    "__version__",
    "combiners",
    "engine",
    "errors",
    "fit",
    "models",
    "parameters",
    "strategies",
    "synthetic_market",
]


def __getattr__(name: str) -> Any:
    return late(__name__, {"synthetic_market": "data.market"}, name)
