"""When requests come and end: what a server waits for before it closes its door, or an embedder that it left.

gRPC cancels the requests that it has received but not yet handed over when a server stops; of 40 that came at once,
up to 31 were lost. A server that first says NOT_SERVING and goes on until nobody asks any more loses none.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Protocol

import grpc

from beedex.server.calls.handlers import Context, Remaking, surround
from beedex.server.calls.work import CURRENT_CALL, CURRENT_WORK, Call, Work
from beedex.server.watching.identity import REQUEST_ID_KEY, identify_call

__all__ = ["HEALTH_PREFIX", "UNKNOWN_METHOD", "Attendance", "Listener", "TrafficWatch"]

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
        self._stream_ended = asyncio.Event()
        self._accompanied = Remaking(self._accompany)

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
        # Not taken back: the task is the call's own and ends with it.
        CURRENT_CALL.set(call)
        return self._accompanied.apply(method, handler)

    def _accompany(self, method: str, handler: Any) -> Any:  # noqa: ANN401 - see above
        is_stream = handler.request_streaming or handler.response_streaming
        is_work = not is_stream and not method.startswith(HEALTH_PREFIX)
        return surround(handler, partial(_Accompaniment, self, is_work))

    def begin_call(self, call: Call) -> None:
        """Take note that a call's method begins."""
        if call.is_stream:
            self.open_streams[call.method] += 1

    def end_call(self, call: Call) -> None:
        """Take note that a call has ended, and tell the listeners."""
        if call.is_stream:
            self.open_streams[call.method] -= 1
            self._stream_ended.set()
        call.ended_s = self._clock()
        self._tell(lambda listener: listener.end_call(call))

    def attend(self, method: str, *, request_id: str = "") -> "Attendance":
        """Count what is done within as one work of the RPC *method*, and tell the listeners when it has ended.

        Args:
            method: the RPC's full name.
            request_id: an item of a stream has that of its stream with a number, unless told otherwise.
        """
        call = CURRENT_CALL.get()
        if not request_id and call is not None:
            request_id = call.next_item_id()
        return Attendance(self, Work(method=method, began_s=self._clock(), request_id=request_id, call=call))

    def begin_work(self, ended: asyncio.Event, work: Work) -> None:
        """Take note that a work begins; *ended* is to be set when it ends."""
        self._last_arrival = work.began_s
        self._present.add(ended)

    def end_work(self, ended: asyncio.Event, work: Work) -> None:
        """Take note that a work has ended, and tell the listeners."""
        if work.call is not None and not work.call.is_stream:
            work.call.reason = work.reason
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

    async def wait_for_streams(self, at_most_s: float) -> None:
        """Return when no stream is open but those that watch health, or after *at_most_s*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while any(count for method, count in self.open_streams.items() if not method.startswith(HEALTH_PREFIX)):
                    self._stream_ended.clear()
                    await self._stream_ended.wait()

    async def wait_until_quiet(self, quiet_s: float, *, at_most_s: float) -> bool:
        """Return True when no request has come for *quiet_s* from now on; False after *at_most_s*."""
        end = self._clock() + at_most_s
        self._last_arrival = self._clock()
        while (left := min(self._last_arrival + quiet_s, end) - self._clock()) > 0:  # noqa: ASYNC110 - a request moves the end
            await asyncio.sleep(left)
        return self._clock() >= self._last_arrival + quiet_s


class Attendance:
    """A context manager around one work, which it yields.

    This and `_Accompaniment` are classes, for generators made into context managers take 40 us more of each request.
    """

    def __init__(self, watch: TrafficWatch, work: Work) -> None:
        self._watch, self.work = watch, work
        self._ended = asyncio.Event()

    def __enter__(self) -> Work:
        self._watch.begin_work(self._ended, self.work)
        self._token = CURRENT_WORK.set(self.work)
        return self.work

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call = self.work.call
        if isinstance(error, asyncio.CancelledError):
            self.work.code = grpc.StatusCode.CANCELLED if call is None else call.judge_cancellation()
        CURRENT_WORK.reset(self._token)
        self._watch.end_work(self._ended, self.work)


class _Accompaniment:
    """An async context manager around a call's method; around that of a unary request, it attends to the work too."""

    def __init__(self, watch: TrafficWatch, is_work: bool, context: Context) -> None:  # noqa: FBT001 - given by position
        self._watch, self._context = watch, context
        call = CURRENT_CALL.get()
        if call is None:
            raise RuntimeError("a call's method is run in another task than the interceptors, which gRPC doesn't do")
        self._call = call
        self._work = watch.attend(call.method, request_id=call.identity.request_id) if is_work else None

    async def __aenter__(self) -> None:
        call, context = self._call, self._context
        call.find_peer, call.time_left = context.peer, context.time_remaining
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.identity.request_id),))
        self._watch.begin_call(call)
        if self._work is not None:
            self._work.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._work is not None:
            _judge(self._work.work, self._call, self._context, error)
            self._call.code = self._work.work.code
            self._work.__exit__(kind, error, trace)
        else:
            _judge(self._call, self._call, self._context, error)
        self._watch.end_call(self._call)


def _judge(ended: Call | Work, call: Call, context: Context, error: BaseException | None) -> None:
    """Note the code that a work or call ends with.

    A caller who takes a stream back while nothing of it is under way looks to grpc.aio like one who has said all: that
    is OK here.
    """
    match error:
        case None:
            # Whoever refuses a work notes it with its reason; those who don't know of works tell the call's context.
            if ended.code is grpc.StatusCode.OK:
                ended.code = context.code() or grpc.StatusCode.OK
            if call.is_late and ended.code is grpc.StatusCode.OK:
                ended.code = grpc.StatusCode.DEADLINE_EXCEEDED
        case asyncio.CancelledError():
            ended.code = call.judge_cancellation()
        case grpc.aio.AbortError():
            if ended.code is grpc.StatusCode.OK:
                ended.code = context.code()
        case _:
            pass
