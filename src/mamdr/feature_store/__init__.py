"""Users' and items' features and ids for all domains: what serving reads, coded as training read it."""

from mamdr.feature_store.protocol import Entities, FeatureStore, Health, Raw, UpdatableStore, batch_of

__all__ = ["Entities", "FeatureStore", "Health", "Raw", "UpdatableStore", "batch_of"]
