"""What the service counts, for Prometheus. Labels are routes and codes, which are few, never a caller's words."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.018, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Counted:
    """The service's counters. With several workers they are added up over them, by files in the folder that
    PROMETHEUS_MULTIPROC_DIR names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept = self.registry
        self.requests = Counter(
            "mamdr_requests", "Requests by route and status code", ("route", "code"), registry=kept
        )
        self.seconds = Histogram(
            "mamdr_request_seconds", "Seconds to an answer", ("route",), registry=kept, buckets=_SECONDS
        )
        self.scored = Counter("mamdr_scored_rows", "Rows scored", registry=kept)
        self.hits = Counter("mamdr_merged_hits", "Merged parts found in the cache", registry=kept)
        self.misses = Counter("mamdr_merged_misses", "Merged parts made anew", registry=kept)
        self.bytes = Gauge(
            "mamdr_merged_bytes", "Bytes of merged parts", registry=kept, multiprocess_mode="livesum"
        )
        self.generation = Gauge(
            "mamdr_pointer_generation",
            "Of the pointer that serves",
            registry=kept,
            multiprocess_mode="livemin",
        )
        self.newcomers = Gauge(
            "mamdr_newcomers", "Domains that came after training, by phase", ("phase",), registry=kept,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.degraded = Gauge(
            "mamdr_degraded", "1 while something is wrong that does not stop answers", registry=kept,
            multiprocess_mode="livemax",
        )  # fmt: skip

    def text(self) -> bytes:
        """Everything counted, as Prometheus reads it."""
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            return generate_latest(together)
        return generate_latest(self.registry)
