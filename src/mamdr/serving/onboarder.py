"""The process that trains newcomers: begun when there is something to train and nobody does it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager

from mamdr.registry import Registry
from mamdr.registry.newcomers import Newcomers, unless_locked
from mamdr.serving.options import VARIABLE, ServeOptions


class Onboarder:
    """Begins the process, and ends it with the worker.

    Args:
        registry: whose newcomers.
        options: of the service, which the process is told.
    """

    def __init__(self, registry: Registry, options: ServeOptions) -> None:
        self.registry, self.options = registry, options
        self._newcomers = Newcomers(registry)
        self._process: subprocess.Popen[bytes] | None = None
        self._looked: tuple[int, ...] = ()

    def wake(self) -> None:
        """Begin the process if newcomers wait and no process of this registry trains any."""
        if self._process is not None and self._process.poll() is None:
            return
        if not self._newcomers.folder.is_dir() or not self._newcomers.pending():
            return
        with alone(self.registry) as free:
            if not free:
                return
        words = [sys.executable, "-m", "mamdr.serving.onboarding"]
        environment = {**os.environ, VARIABLE: self.options.to_environment()}
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        self._process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        """End the process; what it was at begins anew when the service does."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def alone(registry: Registry) -> AbstractContextManager[bool]:
    """Whether this process alone trains a registry's newcomers, while in it; the lock goes when it ends."""
    return unless_locked(registry.folder / ".onboarding.lock")
