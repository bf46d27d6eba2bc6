"""Ctrl-C, whatever a library makes of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible(advice: str = "") -> Iterator[None]:
    """Ctrl-C inside is a `KeyboardInterrupt` that says `advice`.

    Also where it comes out as another error: it is raised at any instruction, inside a library's C++ code too, which
    may take it for a failure of what it had called there and tell of that instead.
    """
    heard: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if callable(before):
            before(number, frame)

    # A command that is to ignore Ctrl-C (begun with nohup, say) goes on ignoring it.
    ours = callable(before) and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, hear)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(advice or str(interrupt)) from None
    except Exception as error:
        if not heard:
            raise
        raise KeyboardInterrupt(advice) from error
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
