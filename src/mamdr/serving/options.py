"""Settings of the service, and how its workers are told them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mamdr.config import component, parse
from mamdr.errors import ConfigError
from mamdr.feature_store import FeatureStore, open_store

VARIABLE = "MAMDR_SERVE"
"""The environment variable by which `mamdr serve` tells its workers their settings; it holds no key."""


@component
class ServeOptions:
    """How a worker serves.

    Args:
        registry: the registry's folder.
        features: places of feature storages, one for the data of each version that is to serve.
        redis: URL of a Redis that keeps the storages' updates for several machines.
        events: folder for exposures and clicks; None keeps none.
        workers: processes that serve together; limits of rate are shared out over them.
        keys: file of hashed keys; None takes them from the variable MAMDR_KEYS.
        cache_mb: megabytes of merged parts that a worker keeps.
        body_kb: largest body of a request.
        rate: requests a second that a key may make on average, `burst` of them at once; 0 sets no limit.
        burst: >= 1.
        timeout: seconds that an answer may take.
        waiting: requests that may wait for their turn; more are turned away.
        poll: seconds between two looks at the registry.
        onboard: whether domains that were added are trained by a process of this service.
        minimum: positives that a new domain needs before it is trained.
        log: tell of every request, not of failures alone.
    """

    registry: str
    features: tuple[str, ...]
    redis: str | None = None
    events: str | None = None
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    keys: str | None = None
    cache_mb: Annotated[int, Field(ge=1)] = 256
    body_kb: Annotated[int, Field(ge=1)] = 1024
    rate: Annotated[float, Field(ge=0)] = 1000.0
    burst: Annotated[int, Field(ge=1)] = 200
    timeout: Annotated[float, Field(gt=0)] = 5.0
    waiting: Annotated[int, Field(ge=1)] = 256
    poll: Annotated[float, Field(gt=0)] = 0.5
    onboard: bool = True
    minimum: Annotated[int, Field(ge=1)] = 20
    log: bool = True

    def to_environment(self) -> str:
        """What `from_environment` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> ServeOptions:
        """The settings that `mamdr serve` left in the environment.

        Raises: ConfigError where there are none.
        """
        text = (environment or os.environ).get(VARIABLE)
        if text is None:
            raise ConfigError(
                f"{VARIABLE} is not set", "settings of the service", "Start it by `mamdr serve`"
            )
        said = json.loads(text)
        return parse(cls, {**said, "features": tuple(said["features"])}, "serve")

    def stores(self) -> list[FeatureStore]:
        """The feature storages, opened. What Redis says counts as fresh until the next look at the registry.

        Raises: DataError for a place that holds none.
        """
        return [open_store(place, redis=self.redis, max_age=self.poll) for place in self.features]

    @property
    def keys_file(self) -> Path | None:
        return Path(self.keys) if self.keys else None
