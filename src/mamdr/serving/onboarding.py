"""Training of newcomers, in a process of its own: `python -m mamdr.serving.onboarding`, begun by a service's worker.

One newcomer after another, as long as any waits. What it learns is published as a version of that domain and promoted
for it; a kill at any moment leaves the newcomer waiting, and the next process begins it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mamdr.errors import CheckpointError, MamdrError
from mamdr.feature_store import FeatureStore
from mamdr.registry import Registry, Version, load
from mamdr.registry.join import Joined, join_version
from mamdr.registry.newcomer_data import TooFewError
from mamdr.registry.newcomers import Newcomer, Newcomers, Phase, Status, advanced
from mamdr.serving.log import log
from mamdr.serving.onboarder import alone
from mamdr.serving.options import ServeOptions
from mamdr.training.joining import JoinOptions

_ATTEMPTS = 3  # trainings that may be cut off before a newcomer is given up


@dataclass
class Trainer:
    """Trains newcomers of a registry.

    Args:
        registry: the registry.
        stores: feature storages, one of the data of the version that serves.
        options: how domains join.
    """

    registry: Registry
    stores: Sequence[FeatureStore]
    options: JoinOptions
    _base: Version | None = None

    def run(self) -> int:
        """Train those that wait, until none does; how many there were."""
        count, newcomers = 0, Newcomers(self.registry)
        while pending := newcomers.pending():
            for newcomer in pending:
                with newcomer.training() as mine:
                    if mine:
                        self.train(newcomer)
                        count += 1
        return count

    def train(self, newcomer: Newcomer) -> Status:
        """Train one, and tell how it ended."""
        before, deliveries = newcomer.status(), len(newcomer.deliveries())
        attempts = before.attempts + 1 if before.phase == "training" else 1
        if attempts > _ATTEMPTS:
            reason = f"its training was cut off {_ATTEMPTS} times"
            return self._tell(newcomer, Status("failed", deliveries, reason=reason))
        rounds = self.options.rounds
        running = Status("training", deliveries, 0, rounds, before.figures, before.version, "", attempts)
        self._tell(newcomer, running)
        try:
            joined = self._join(newcomer, running)
        except MamdrError as error:
            phase: Phase = "collecting" if isinstance(error, TooFewError) else "failed"
            return self._tell(newcomer, advanced(running, phase=phase, reason=str(error), attempts=0))
        ended = advanced(
            running,
            phase="live" if joined.version else "rejected",
            round=joined.result.rounds,
            figures=joined.figures,
            version=joined.version or before.version,
            reason=joined.result.reason,
            attempts=0,
        )
        if joined.version:
            self.registry.promote(joined.version)
        return self._tell(newcomer, ended)

    def _join(self, newcomer: Newcomer, running: Status) -> Joined:
        base = self.base()
        store = next(store for store in self.stores if store.fingerprint == base.fingerprint)

        def told(round: int) -> None:
            newcomer.tell(advanced(running, round=round))

        return join_version(self.registry, base, store, newcomer.domain, newcomer.rows(), self.options, told)

    def base(self) -> Version:
        """The version that serves all domains.

        Raises: CheckpointError when none does, or no storage of its data is open.
        """
        serving = self.registry.pointer().placement.serving
        if serving is None:
            raise CheckpointError("no version serves yet", "one", "Promote one: `mamdr promote VERSION`")
        if self._base is None or self._base.name != serving:
            fingerprint = self.registry.manifest(serving)["data"]["fingerprint"]
            found = [store for store in self.stores if store.fingerprint == fingerprint]
            if not found:
                raise CheckpointError(
                    f"no feature storage is made from the data of {serving}", "one", "Name it with --features"
                )
            self._base = load(self.registry, serving, found[0].schema)
        return self._base

    def _tell(self, newcomer: Newcomer, status: Status) -> Status:
        newcomer.tell(status)
        log("onboarding", phase=status.phase, deliveries=status.deliveries, version=status.version)
        return status


def main() -> None:
    """The process."""
    torch.set_num_threads(1)
    options = ServeOptions.from_environment()
    registry = Registry.open(options.registry)
    with alone(registry) as free:
        if free:
            Trainer(registry, options.stores(), JoinOptions(minimum=options.minimum)).run()


if __name__ == "__main__":
    main()
