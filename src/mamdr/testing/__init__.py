"""Conformance suites: subclass one, say what to test, and pytest runs its tests.

    from mamdr.testing import StrategyConformance

    class TestMine(StrategyConformance):
        def strategy(self):
            return Mine()

`tiny_market` and `TwoTables` are the small data and model that they run on; `train` is the shortest way to rounds.
"""

from mamdr.testing.feature_stores import FeatureStoreConformance, UpdatableStoreConformance
from mamdr.testing.lab import parameters_of, problem_of, same_bits, scores, train
from mamdr.testing.market import tiny_market
from mamdr.testing.models import ModelConformance
from mamdr.testing.modules import NormedTables, TiedTables, TwoTables, lively
from mamdr.testing.stores import StoreConformance
from mamdr.testing.strategies import StrategyConformance

__all__ = [
    "FeatureStoreConformance",
    "ModelConformance",
    "NormedTables",
    "StoreConformance",
    "StrategyConformance",
    "TiedTables",
    "TwoTables",
    "UpdatableStoreConformance",
    "lively",
    "parameters_of",
    "problem_of",
    "same_bits",
    "scores",
    "tiny_market",
    "train",
]
