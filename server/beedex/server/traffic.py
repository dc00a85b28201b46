"""When requests come and end: what a server waits for before it closes its door, or an embedder that it left.

gRPC cancels the requests that it has received but not yet handed over when a server stops; of 40 that came at once,
up to 31 were lost. A server that first says NOT_SERVING and goes on until nobody asks any more loses none.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import grpc

from beedex.server.handlers import Context, surround
from beedex.server.watching.identity import REQUEST_ID_KEY, identify_call
from beedex.server.work import CURRENT_CALL, CURRENT_WORK, Call, Work

__all__ = ["UNKNOWN_METHOD", "Listener", "TrafficWatch"]

log = logging.getLogger(__name__)

# Probes of the server's health go on until it ends, so they are no traffic.
HEALTH_PREFIX = "/grpc.health."

# Whatever callers make up is one method to those who count.
UNKNOWN_METHOD = "unknown"


class Listener(Protocol):
    """Is told, in the event loop, of what has ended."""

    def end_work(self, work: Work, /) -> None:
        """A work has ended."""
        ...

    def end_call(self, call: Call, /) -> None:
        """A call has ended, after its works; also a probe of health, and one of a method that there is not."""
        ...


class TrafficWatch(grpc.aio.ServerInterceptor):
    """Notices when a call comes and when a work ends, and gives each its request id, which the caller is told.

    Unary requests are attended to by this interceptor; a stream's service attends to each of its items. It goes before
    all other interceptors, so that what they refuse is noticed too.

    Args:
        listeners: are told of what has ended.
        clock: seconds that never go back.

    Attributes:
        draining: set when the server is about to stop; streams then read no further.
        open_streams: how many there are by method, those of health among them.
    """

    def __init__(self, *, listeners: Sequence[Listener] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.draining = asyncio.Event()
        self.open_streams: Counter[str] = Counter()
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
        method, began_s = handler_call_details.method, self._clock()
        call = Call(
            method=UNKNOWN_METHOD if handler is None else method,
            identity=identify_call(handler_call_details.invocation_metadata or ()),
            began_s=began_s,
        )
        is_probe = method.startswith(HEALTH_PREFIX)
        if not is_probe:
            self._last_arrival = began_s
        if handler is None:
            call.ended_s, call.code = began_s, grpc.StatusCode.UNIMPLEMENTED
            self._tell(lambda listener: listener.end_call(call))
            return None
        call.is_stream = handler.request_streaming or handler.response_streaming

        @asynccontextmanager
        async def accompany(context: Context) -> AsyncIterator[None]:
            call.peer, call.time_left = context.peer(), context.time_remaining
            context.set_trailing_metadata(((REQUEST_ID_KEY, call.identity.request_id),))
            with self._follow(call), _judge(call, call, context):
                if call.is_stream or is_probe:
                    yield
                else:
                    with self.attend(method, request_id=call.identity.request_id) as work, _judge(work, call, context):
                        yield

        return surround(handler, accompany)

    @contextmanager
    def _follow(self, call: Call) -> Iterator[None]:
        # Not taken back: the task is the call's own and ends with it.
        CURRENT_CALL.set(call)
        if call.is_stream:
            self.open_streams[call.method] += 1
        try:
            yield
        finally:
            if call.is_stream:
                self.open_streams[call.method] -= 1
            call.ended_s = self._clock()
            self._tell(lambda listener: listener.end_call(call))

    @contextmanager
    def attend(self, method: str, *, request_id: str = "") -> Iterator[Work]:
        """Count what is done within as one work of the RPC *method*, and tell the listeners when it has ended.

        Args:
            method: the RPC's full name.
            request_id: an item of a stream has that of its stream with a number, unless told otherwise.
        """
        call = CURRENT_CALL.get()
        if not request_id and call is not None:
            request_id = call.next_item_id()
        ended, work = asyncio.Event(), Work(method=method, began_s=self._clock(), request_id=request_id, call=call)
        self._last_arrival = work.began_s
        self._present.add(ended)
        token = CURRENT_WORK.set(work)
        try:
            yield work
        except asyncio.CancelledError:
            work.code = grpc.StatusCode.CANCELLED if call is None else call.judge_cancellation()
            raise
        finally:
            CURRENT_WORK.reset(token)
            if call is not None and not call.is_stream:
                call.reason = work.reason
            work.ended_s = self._clock()
            ended.set()
            self._present.discard(ended)
            self._tell(lambda listener: listener.end_work(work))

    def _tell(self, news: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            try:
                news(listener)
            # Whoever watches must not be what fails a request.
            except Exception:
                log.exception("what watches the server failed: %s", type(listener).__name__)

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


@contextmanager
def _judge(ended: Call | Work, call: Call, context: Context) -> Iterator[None]:
    """Note the code that what is done within ends with.

    A caller who takes a stream back while nothing of it is under way looks to grpc.aio like one who has said all: that
    is OK here.
    """
    try:
        yield
        # Whoever refuses a work notes it with its reason; those who don't know of works only tell the call's context.
        if ended.code is grpc.StatusCode.OK:
            ended.code = context.code() or grpc.StatusCode.OK
        if call.is_late and ended.code is grpc.StatusCode.OK:
            ended.code = grpc.StatusCode.DEADLINE_EXCEEDED
    except asyncio.CancelledError:
        ended.code = call.judge_cancellation()
        raise
    except grpc.aio.AbortError:
        if ended.code is grpc.StatusCode.OK:
            ended.code = context.code()
        raise
