"""Ctrl-C ends a command as Ctrl-C, whatever comes of it on the way."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FunctionType

import pytest

from mamdr.cli import interrupt
from mamdr.cli.interrupt import interruptible


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is in what a shell began in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


_in_ours = FunctionType(_press.__code__, {**globals(), "__name__": "mamdr.engine"})
"""Presses in a frame of the package."""


def _in_a_library_that_sleeps() -> None:
    _press()
    time.sleep(10)


class _Panic(BaseException):
    """As Rust's: no `Exception`."""


def _becomes(error: type[BaseException]) -> Callable[[], None]:
    """Code that takes the interruption for a failure of its own, as C++ and Rust do."""

    def act() -> None:
        try:
            _in_a_library_that_sleeps()
        except KeyboardInterrupt:
            raise error("could not determine the shape") from None

    return act


class _Deaf:
    """Whose end is a place where nothing can be raised."""

    def __del__(self) -> None:
        _in_ours()


def _lost() -> None:
    _Deaf()
    time.sleep(10)


@pytest.mark.parametrize(
    "act",
    [_in_ours, _press, _in_a_library_that_sleeps, _becomes(ValueError), _becomes(_Panic), _lost],
)
def test_it_says_the_advice(act: Callable[[], None], capfd: pytest.CaptureFixture[str]) -> None:
    before, told = signal.getsignal(signal.SIGINT), sys.unraisablehook
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match=r"^go on$"), interruptible(), interruptible("go on"):
        act()
    assert signal.getsignal(signal.SIGINT) is before
    assert sys.unraisablehook is told
    assert time.monotonic() - begun < 5
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("press", "goes_on"), [(_in_ours, False), (_press, True)])
def test_ours_is_left_at_once_and_a_library_is_not_disturbed(
    press: Callable[[], None], goes_on: bool
) -> None:
    done = []

    def act() -> None:
        press()
        time.sleep(interrupt._PATIENCE / 5)
        done.append(True)

    with pytest.raises(KeyboardInterrupt), interruptible():
        act()
    assert done == [True] * goes_on


def test_an_error_meanwhile_is_the_interruption_and_comes_once() -> None:
    def act() -> None:
        _press()
        raise ValueError("wrong")

    with pytest.raises(KeyboardInterrupt, match=r"^go on$") as caught, interruptible("go on"):
        act()
    assert isinstance(caught.value.__cause__, ValueError)
    time.sleep(5 * interrupt._SOON)


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
