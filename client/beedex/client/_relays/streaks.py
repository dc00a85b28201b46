"""Streams that end badly one after another: which are worth another, after how long, and since when it goes on."""

from collections.abc import Callable

import grpc

from beedex.client._errors import (
    BusyError,
    CallCancelledError,
    ClientError,
    ServerFaultError,
    UnavailableError,
)

__all__ = ["USED_UP", "Streak", "is_passing"]

# Before the second stream; twice as long before each that follows.
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0

# With these the server ends a stream that it is done with; the next can be opened at once.
USED_UP = frozenset({"STREAM_IDLE", "STREAM_TOO_LONG"})


class Streak:
    """The streams in a row that ended badly; an answer ends the row.

    Args:
        clock: seconds that never go back.

    Attributes:
        count: how many they are.
        last: how the last of them ended; None if there is none.
        since: when the first of them ended.
        over_at: when another may be opened.
        was_answered: whether there has been an answer before.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.count = 0
        self.last: ClientError | None = None
        self.since = 0.0
        self.over_at = 0.0
        self.was_answered = False

    def end(self) -> None:
        """Take note of an answer."""
        self.count, self.last, self.was_answered = 0, None, True

    def extend(self, error: ClientError) -> None:
        """Take note of a stream that ended in *error*."""
        now = self._clock()
        if not self.count:
            self.since = now
        wait_s = min(FIRST_WAIT_S * 2**self.count, LONGEST_WAIT_S)
        self.count += 1
        self.last = error
        self.over_at = now + max(wait_s, error.retry_after_s or 0.0)


def is_passing(error: ClientError) -> bool:
    """Tell whether another stream may fare better."""
    if isinstance(error, UnavailableError | BusyError | CallCancelledError):
        return True
    # Who writes to a stream that the server has just ended may hear of it from his own gRPC alone, in these words.
    return isinstance(error, ServerFaultError) and error.code is grpc.StatusCode.INTERNAL and not error.reason
