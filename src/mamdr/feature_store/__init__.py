"""Users' and items' features and ids for all domains: what serving reads, coded as training read it."""

from mamdr.feature_store.batches import batch_of
from mamdr.feature_store.folder import compact, create, open_store
from mamdr.feature_store.protocol import Entities, FeatureStore, Health, Raw, UpdatableStore

__all__ = [
    "Entities",
    "FeatureStore",
    "Health",
    "Raw",
    "UpdatableStore",
    "batch_of",
    "compact",
    "create",
    "open_store",
]
