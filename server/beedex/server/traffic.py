"""When requests come and end: what a server waits for before it closes its door, or an embedder that it left.

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
    """Notices when a request comes and, of unary methods, when it ends.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_arrival = clock()
        self._present: set[asyncio.Event] = set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # noqa: ANN401 - a handler's messages are of any type
        """Let the request pass."""
        handler = await continuation(handler_call_details)
        if handler_call_details.method.startswith(HEALTH_PREFIX):
            return handler
        self._last_arrival = self._clock()
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._attend(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _attend(self, method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
            ended = asyncio.Event()
            self._present.add(ended)
            try:
                return await method(request, context)
            finally:
                ended.set()
                self._present.discard(ended)

        return answer

    async def wait_for_present(self) -> None:
        """Return when every unary request that is under way now has ended; others may have come."""
        for ended in tuple(self._present):
            await ended.wait()

    async def wait_until_quiet(self, quiet_s: float, *, at_most_s: float) -> None:
        """Return when no request has come for *quiet_s* from now on, after *at_most_s* at the latest."""
        end = self._clock() + at_most_s
        self._last_arrival = self._clock()
        while (left := min(self._last_arrival + quiet_s, end) - self._clock()) > 0:  # noqa: ASYNC110 - a request moves the end
            await asyncio.sleep(left)
