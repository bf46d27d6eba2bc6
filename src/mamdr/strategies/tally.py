"""Mean training loss over a round's walks, weighted by their samples."""

from __future__ import annotations

from mamdr.strategies.protocol import Outcome, State


class Tally:
    """Adds up outcomes and writes their mean loss into the state."""

    def __init__(self) -> None:
        self.loss, self.samples = 0.0, 0

    def add(self, outcome: Outcome) -> None:
        if outcome.samples:
            self.loss += outcome.loss * outcome.samples
            self.samples += outcome.samples

    def write(self, state: State, part: str) -> None:
        """Set `state.losses[part]`, unless nothing was trained, and count the samples."""
        if self.samples:
            state.losses[part] = self.loss / self.samples
        state.samples += self.samples
