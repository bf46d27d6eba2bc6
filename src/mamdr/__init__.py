"""Multi-domain recommendation: Domain Negotiation and Domain Regularization over any PyTorch model.

>>> import mamdr
>>> data = mamdr.synthetic_market(domains=3, users=60, items=30, samples_per_domain=200)
>>> data.schema.domains
('domain-00000', 'domain-00001', 'domain-00002')
"""

__version__ = "0.1.0"

from mamdr import combiners, engine, errors, models, parameters, strategies
from mamdr.data import Dataset, Schema
from mamdr.data.market import synthetic_market
from mamdr.training import Recipe, Run, Trainer, TrainOptions, fit

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
