"""SIGTERM during work that should end at a moment of its own choice."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "StoppedBySignal", "await_sigterm"]


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
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def take_note(number: int, frame: FrameType | None) -> None:
        del number, frame
        request.received = True

    # A handler that C code installed reads as None; there is no putting that back, the default is the best there is.
    before = signal.signal(signal.SIGTERM, take_note) or signal.SIG_DFL
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
