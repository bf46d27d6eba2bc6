"""Ctrl-C ends a command as Ctrl-C, whatever comes of it on the way."""

import os
import signal
from collections.abc import Callable

import pytest

from mamdr.cli.interrupt import interruptible


def _press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _swallowed() -> None:
    """Code that takes the interruption for a failure of its own, as C++ does."""
    try:
        _press()
    except KeyboardInterrupt:
        raise ValueError("could not determine the shape") from None


@pytest.mark.parametrize("act", [_press, _swallowed])
def test_it_says_the_advice(act: Callable[[], None]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"^go on$"), interruptible(), interruptible("go on"):
        act()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="wrong"), interruptible("go on"):
        raise ValueError("wrong")


def test_who_ignores_it_goes_on() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible("go on"):
            _press()
    finally:
        signal.signal(signal.SIGINT, before)
