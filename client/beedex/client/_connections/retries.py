"""When a call is made again: after how long, and how often.

gRPC itself repeats calls that end in UNAVAILABLE (see `ChannelConfig`). It knows nothing of google.rpc.RetryInfo, in
which a busy server says when to come back. What gRPC does understand, the trailer `grpc-retry-pushback-ms`, it obeys
even if the wait outlasts the deadline, and then reports DEADLINE_EXCEEDED in place of the server's words (measured with
grpcio 1.85); and all the refused come back at the same moment. So that wait is made here.
"""

import random
from collections.abc import Callable

from beedex.client._connections.deadline import Deadline
from beedex.client._errors import BusyError, ClientError

__all__ = ["Retries"]

# So many times the server's wait may be added to it, so that those who were refused together don't come back together.
# Never less: the server has reckoned.
JITTER = 0.5


class Retries:
    """The attempts of one call.

    Args:
        attempts: how often it may be made in all.
        deadline: when it has to be over.
        draw: a number in [0, 1).

    Example:
        >>> retries = Retries(2, Deadline.after(10.0), draw=lambda: 0.0)
        >>> busy = BusyError("full", retry_after_s=0.5)
        >>> retries.wait_after(busy), retries.wait_after(busy)
        (0.5, None)
    """

    def __init__(self, attempts: int, deadline: Deadline, *, draw: Callable[[], float] = random.random) -> None:
        self._left, self._deadline, self._draw = attempts - 1, deadline, draw

    def wait_after(self, error: ClientError) -> float | None:
        """Return after how many seconds to try again; None if not at all.

        A wait that would last until the deadline is not begun: the caller learns now what there is to learn.
        """
        if not isinstance(error, BusyError) or error.retry_after_s is None or self._left < 1:
            return None
        self._left -= 1
        wait_s = error.retry_after_s * (1 + JITTER * self._draw())
        return wait_s if wait_s < self._deadline.remaining_s() else None
