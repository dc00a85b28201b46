"""When requests come and end: what a server waits for before it closes its door, or an embedder that it left.

gRPC cancels the requests that it has received but not yet handed over when a server stops; of 40 that came at once,
up to 31 were lost. A server that first says NOT_SERVING and goes on until nobody asks any more loses none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from beedex.server.handlers import Context, surround
from beedex.server.work import CURRENT_WORK, Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["TrafficWatch"]

# Probes of the server's health go on until it ends, so they are no traffic.
HEALTH_PREFIX = "/grpc.health."


class TrafficWatch(grpc.aio.ServerInterceptor):
    """Notices when a request comes and when a work ends.

    Unary requests are attended to by this interceptor; a stream's service attends to each of its items.

    Args:
        listeners: are told of each work that has ended, in the event loop.
        clock: seconds that never go back.

    Attributes:
        draining: set when the server is about to stop; streams then read no further.
    """

    def __init__(
        self, *, listeners: Sequence[Callable[[Work], None]] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.draining = asyncio.Event()
        self._listeners = listeners
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
        method = handler_call_details.method
        if method.startswith(HEALTH_PREFIX):
            return handler
        self._last_arrival = self._clock()
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler

        @asynccontextmanager
        async def attend(_context: Context) -> "AsyncIterator[None]":
            with self.attend(method):
                yield

        return surround(handler, attend)

    @contextmanager
    def attend(self, method: str, *, request_id: str = "") -> Iterator[Work]:
        """Count what is done within as one work of the RPC *method*, and tell the listeners when it has ended."""
        ended, work = asyncio.Event(), Work(method=method, began_s=self._clock(), request_id=request_id)
        self._last_arrival = work.began_s
        self._present.add(ended)
        token = CURRENT_WORK.set(work)
        try:
            yield work
        except asyncio.CancelledError:
            work.code = grpc.StatusCode.CANCELLED
            raise
        finally:
            CURRENT_WORK.reset(token)
            work.ended_s = self._clock()
            ended.set()
            self._present.discard(ended)
            for listen in self._listeners:
                listen(work)

    async def wait_for_present(self) -> None:
        """Return when every work that is under way now has ended; others may have come."""
        for ended in tuple(self._present):
            await ended.wait()

    async def wait_until_quiet(self, quiet_s: float, *, at_most_s: float) -> None:
        """Return when no request has come for *quiet_s* from now on, after *at_most_s* at the latest."""
        end = self._clock() + at_most_s
        self._last_arrival = self._clock()
        while (left := min(self._last_arrival + quiet_s, end) - self._clock()) > 0:  # noqa: ASYNC110 - a request moves the end
            await asyncio.sleep(left)
