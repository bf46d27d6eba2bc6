"""How often a key may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 10_000  # callers remembered


class Rate:
    """A bucket of tokens for each caller: it fills by `rate` a second up to `burst`, and a request takes one.

    Args:
        rate: tokens a second; 0 sets no limit.
        burst: tokens that a full bucket holds, >= 1.
        clock: seconds that never go back, so that a change of the system's time changes nothing.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, max(1.0, burst), clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Seconds until the caller may ask again; 0 when it may now, and then a token is taken."""
        if not self.rate:
            return 0.0
        now = self._clock()
        left, then = self._left.pop(caller, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        wait = 0.0 if left >= 1 else (1 - left) / self.rate
        self._left[caller] = (left - 1 if not wait else left, now)
        if len(self._left) > _MOST:
            self._left.popitem(last=False)
        return wait
