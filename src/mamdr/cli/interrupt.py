"""Ctrl-C, whatever becomes of it on the way."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_PATIENCE = 0.5
"""Seconds for which an interruption waits for a place of ours; after them it is raised wherever it is."""
_SOON = 0.01
"""Seconds after which an interruption is tried again."""


@contextmanager
def interruptible(advice: str = "") -> Iterator[None]:
    """Ctrl-C inside is a `KeyboardInterrupt` that says `advice`.

    Python would raise it at any instruction, also where a library's C++ or Rust code called Python for a moment: that
    tells of a failure of its own, or panics. So it is raised in a frame of this package, or at the end of the block,
    unless a library keeps the thread for longer than half a second. Whatever error comes out after that is the Ctrl-C.
    Where nothing can be raised (in a destructor) Python prints it and goes on: it is made again a moment later.
    """
    with _listening() as ear:
        try:
            yield
            ear.have_it_now()
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(advice or str(interrupt)) from None
        except SystemExit:
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            if not ear.heard:
                raise
            ear.forget()
            raise KeyboardInterrupt(advice) from error


class _Ear:
    """The handler of SIGINT: puts an interruption off until it can be raised.

    It starts threads without `threading`, whose locks the code may hold that it interrupts.
    """

    def __init__(self, before: Callable[[int, FrameType | None], Any]) -> None:
        self._before = before
        self._first: float | None = None
        self._due = False
        self._lock = _thread.allocate_lock()

    @property
    def heard(self) -> bool:
        return self._first is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
        if _is_ours(frame) or now > self._first + _PATIENCE:
            self._due = False
            self._before(number, frame)
        else:
            self.again()

    def again(self) -> None:
        """Have it raised a moment later: by a signal, which wakes what sleeps or waits."""
        self._due = True
        _thread.start_new_thread(self._send, ())

    def forget(self) -> bool:
        """Whether one was put off, which does not come any more."""
        with self._lock:
            due, self._due = self._due, False
        return due

    def have_it_now(self) -> None:
        """Raise what was put off."""
        if self.forget():
            self._before(signal.SIGINT, None)

    def _send(self) -> None:
        time.sleep(_SOON)
        with self._lock:
            if self._due:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _is_ours(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "mamdr"


@contextmanager
def _listening() -> Iterator[_Ear]:
    """The ear that hears SIGINT inside; one for all blocks within each other."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, _Ear):
        yield before
    elif not callable(before) or threading.current_thread() is not threading.main_thread():
        # A command that is to ignore Ctrl-C (begun with nohup, say) goes on ignoring it.
        yield _Ear(lambda *_: None)
    else:
        ear, told = _Ear(before), sys.unraisablehook

        def tell(lost: Any) -> None:
            if ear.heard and issubclass(lost.exc_type, KeyboardInterrupt):
                ear.again()
            else:
                told(lost)

        signal.signal(signal.SIGINT, ear)
        sys.unraisablehook = tell
        try:
            yield ear
        finally:
            signal.signal(signal.SIGINT, before)
            sys.unraisablehook = told
