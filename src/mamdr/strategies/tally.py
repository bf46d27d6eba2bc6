"""What a round's walks leave beside displacements: their mean training loss, and running statistics."""

from __future__ import annotations

import math

from mamdr.strategies.mean import MeanBuffers
from mamdr.strategies.protocol import Outcome, State


class Tally:
    """Adds up outcomes and writes what they come to into the state: the same mean loss in whatever order they come.

    Args:
        buffers: takes in the running statistics that walks end with; None leaves those of the state alone.
    """

    def __init__(self, buffers: MeanBuffers | None = None) -> None:
        self._losses: list[float] = []
        self.samples, self.buffers = 0, buffers

    @classmethod
    def of_specific(cls, state: State) -> Tally:
        """For walks for specific parts. They leave running statistics alone, unless no walk has ever gone to the shared
        parameters: then nothing else would set them, and rows would be scored by the statistics of an untrained module.
        """
        return cls(None if state.shared_is_trained else MeanBuffers(state.buffers))

    def add(self, outcome: Outcome) -> None:
        if outcome.samples:
            self._losses.append(outcome.loss * outcome.samples)
            self.samples += outcome.samples
        if self.buffers is not None:
            self.buffers.add(outcome.buffers)

    def write(self, state: State, part: str) -> None:
        """Set `state.losses[part]`, unless nothing was trained, count the samples, and set running statistics."""
        if self.samples:
            state.losses[part] = math.fsum(self._losses) / self.samples
        state.samples += self.samples
        if self.buffers is not None:
            state.buffers = state.buffers | self.buffers.value()
