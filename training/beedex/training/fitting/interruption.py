"""SIGTERM during work that should end at a moment of its own choice, or say how it goes on."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "StoppedBySignal", "await_sigterm", "end_at_sigterm"]


class StopRequest:
    """Whether the process was asked to end.

    Attributes:
        received: true from the first SIGTERM on.
    """

    def __init__(self) -> None:
        self.received = False


class StoppedBySignal(SystemExit):
    """The work was saved and ended as asked; unless it is caught, the process exits with 143 (128 + SIGTERM).

    Args:
        message: what was saved, and how to go on.
    """

    def __init__(self, message: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextmanager
def await_sigterm() -> Iterator[StopRequest]:
    """Take note of SIGTERM instead of dying of it, and put the old handler back in the end.

    Python lets only the main thread do that: in another one nothing changes, and the request never comes.
    """
    request = StopRequest()

    def take_note(number: int, frame: FrameType | None) -> None:
        del number, frame
        request.received = True

    with _handle_sigterm(take_note):
        yield request


@contextmanager
def end_at_sigterm(message: str) -> Iterator[None]:
    """Let SIGTERM end the block where it is, with a note on stderr, and put the old handler back in the end.

    For work that may be killed at any instant; a part of it that `await_sigterm` guards ends as it likes.

    Args:
        message: what was saved, and how to go on.

    Raises:
        StoppedBySignal: SIGTERM came.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        print(f"beedex: note: {message}", file=sys.stderr)
        raise StoppedBySignal(message)

    with _handle_sigterm(end):
        yield


@contextmanager
def _handle_sigterm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGTERM by *handler* in the block, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A handler that C code installed reads as None; there is no putting that back, the default is the best there is.
    before = signal.signal(signal.SIGTERM, handler) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
