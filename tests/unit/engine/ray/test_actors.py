"""What Ray says of a process that the system ended, as a cluster hears it."""

from __future__ import annotations

from typing import Any

import pytest

from mamdr.engine.ray.actors import ActorPeer
from mamdr.engine.ray.peers import Lost

exceptions = pytest.importorskip("ray").exceptions


@pytest.mark.parametrize("error", [exceptions.OutOfMemoryError("too much"), exceptions.RayActorError()])
def test_a_process_ended_for_its_memory_is_one_that_died(error: Exception) -> None:
    class Gone:
        class call:  # noqa: N801 (an actor's method, with its `remote`)
            @staticmethod
            def remote(*args: Any) -> None:
                raise error

    with pytest.raises(Lost, match="worker 3"):
        ActorPeer("worker 3", 2, Gone(), None).ask("walk")
