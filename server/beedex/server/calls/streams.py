"""Streams of items: each is answered when it is done, in whichever order, and fails alone.

A stream reads on while fewer of its items are under way than its window has places; an item's place is free when its
answer has been sent, so that a caller who sends and doesn't read fills nothing but the window. Whatever ends the
reading, be it the caller, a limit or the server's own end, what was read is answered first.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Generic, Protocol, TypeVar

from google.rpc import status_pb2

from beedex.server.calls.patience import refuse_idle
from beedex.server.calls.status import judge_failure, noting_failure
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import LimitsConfig
from beedex.server.errors import DrainingError, InvalidRequestError, RefusalError, StreamLimitError

__all__ = ["LONGEST_CORRELATION_ID_BYTES", "ReplyMaker", "StreamItem", "Streams", "attend_replies", "refuse_draining"]

LONGEST_CORRELATION_ID_BYTES = 128

# When another stream may have ended, and when another server may have taken this one's place.
CROWDED_RETRY_AFTER_S = 1.0
DRAINED_RETRY_AFTER_S = 1.0


Request = TypeVar("Request")
Request_co = TypeVar("Request_co", covariant=True)
Result = TypeVar("Result")
Result_contra = TypeVar("Result_contra", contravariant=True)
Reply = TypeVar("Reply")
Reply_co = TypeVar("Reply_co", covariant=True)


class StreamItem(Protocol[Request_co]):
    """One message of a stream."""

    @property
    def correlation_id(self) -> str:
        """Comes back with the reply."""
        ...

    @property
    def request(self) -> Request_co:
        """What a unary call would have sent."""
        ...


class ReplyMaker(Protocol[Result_contra, Reply_co]):
    """A message with the answer to one item: either a result or an error."""

    def __call__(
        self, *, correlation_id: str, result: Result_contra | None = None, error: status_pb2.Status | None = None
    ) -> Reply_co:
        """Make it."""
        ...


class Streams:
    """The streams of a server, of all callers and methods.

    Args:
        limits: of one stream and of all.
        traffic: is told of each item, and tells when to read no further.
    """

    def __init__(self, limits: LimitsConfig, traffic: TrafficWatch) -> None:
        self._limits, self._traffic = limits, traffic
        self._open = 0

    async def answer(
        self,
        method: str,
        items: AsyncIterator[StreamItem[Request]],
        answer: Callable[[Request], Awaitable[Result]],
        make_reply: ReplyMaker[Result, Reply],
    ) -> AsyncGenerator[Reply, None]:
        """Yield the replies to *items*.

        Args:
            method: the RPC, for whoever watches.
            items: as they come from the caller.
            answer: gives the result of one request; several run at once, each in a task of its own.
            make_reply: makes the message around a result, or around the status that the request ended in.

        Raises:
            StreamLimitError: too many streams are open, or this one is too long.
            InvalidRequestError: a correlation id is too long.
            IdleError: the caller sends nothing.
            DrainingError: the server is going down.
        """

        async def work(item: StreamItem[Request]) -> Reply:
            with self._traffic.attend(method):
                try:
                    result = await answer(item.request)
                # Whatever it is, the stream goes on.
                except Exception as error:  # noqa: BLE001
                    return make_reply(correlation_id=item.correlation_id, error=judge_failure(error, method))
            return make_reply(correlation_id=item.correlation_id, result=result)

        with self._take_place():
            stream = _Stream(items, work, self._limits, self._traffic.draining)
            async with aclosing(stream.reply()) as replies:
                async for reply in replies:
                    yield reply

    @contextmanager
    def _take_place(self) -> Iterator[None]:
        if self._open >= self._limits.max_streams:
            raise StreamLimitError(
                f"too many streams are open: expected fewer than {self._limits.max_streams}, found {self._open}; "
                f"try again in {CROWDED_RETRY_AFTER_S:g} s",
                reason="TOO_MANY_STREAMS",
                values={"max_streams": self._limits.max_streams, "open": self._open},
                retry_after_s=CROWDED_RETRY_AFTER_S,
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class _Stream(Generic[Request, Reply]):
    """One stream, from its first item to its last answer; times are the event loop's."""

    def __init__(
        self,
        items: AsyncIterator[StreamItem[Request]],
        work: Callable[[StreamItem[Request]], Coroutine[Any, Any, Reply]],
        limits: LimitsConfig,
        draining: asyncio.Event,
    ) -> None:
        self._items, self._work, self._limits, self._draining = items, work, limits, draining
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(limits.stream_window)
        self._unanswered: set[asyncio.Task[Reply]] = set()
        # What has happened: an item is done, or, with None, the reading.
        self._news: asyncio.Queue[asyncio.Task[Reply] | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._ended_by: RefusalError | None = None

    async def reply(self) -> AsyncGenerator[Reply, None]:
        """Yield the answer to each item when it is done."""
        reading = self._reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: self._news.put_nowait(None))
        draining = asyncio.create_task(self._draining.wait())
        draining.add_done_callback(self._drain)
        self._expect_item()
        try:
            while self._unanswered or not reading.done():
                done = await self._news.get()
                if done is None:
                    continue
                yield done.result()
                self._unanswered.remove(done)
                self._places.release()
                self._expect_item()
            if self._ended_by is not None:
                raise self._ended_by
            reading.result()
        finally:
            self._expect_nothing()
            await _cancel(reading, draining, *self._unanswered)

    async def _read(self) -> None:
        count = 0
        await self._places.acquire()
        async for item in self._items:
            self._expect_nothing()
            count += 1
            self._check(item, count)
            task = asyncio.create_task(self._work(item))
            self._unanswered.add(task)
            task.add_done_callback(self._news.put_nowait)
            await self._places.acquire()

    def _check(self, item: StreamItem[Request], number: int) -> None:
        if number > self._limits.max_stream_items:
            raise StreamLimitError(
                f"the stream has too many items: expected at most {self._limits.max_stream_items}, received another; "
                "go on in a stream of its own",
                reason="STREAM_TOO_LONG",
                values={"max_stream_items": self._limits.max_stream_items},
            )
        length = len(item.correlation_id.encode())
        if length > LONGEST_CORRELATION_ID_BYTES:
            raise InvalidRequestError(
                f"the correlation id of item {number} is too long: expected at most {LONGEST_CORRELATION_ID_BYTES} "
                f"bytes, received {length}",
                reason="CORRELATION_ID_TOO_LONG",
                values={"item": number, "most": LONGEST_CORRELATION_ID_BYTES, "received": length},
                field="correlation_id",
            )

    def _expect_item(self) -> None:
        """From now on it is the caller's turn, unless items are under way: then it may be waiting for their answers."""
        self._expect_nothing()
        if not self._unanswered:
            refusal = refuse_idle(self._limits.max_idle_s, "sent no item")
            self._idle_timer = self._loop.call_later(self._limits.max_idle_s, self._stop_reading, refusal)

    def _expect_nothing(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _drain(self, draining: "asyncio.Task[bool]") -> None:
        if not draining.cancelled():
            self._stop_reading(refuse_draining("what was read is answered, send the rest again"))

    def _stop_reading(self, reason: RefusalError) -> None:
        if self._reading is not None and not self._reading.done():
            self._ended_by = reason
            self._reading.cancel()


@contextmanager
def attend_replies(traffic: TrafficWatch, method: str) -> Iterator[None]:
    """Count as one work what is done within: to answer one request with many replies."""
    with traffic.attend(method), noting_failure():
        yield


def refuse_draining(outcome: str) -> DrainingError:
    """Return the error that ends what takes long when the server goes down; *outcome* says what becomes of it."""
    return DrainingError(
        f"the server is going down; {outcome}, to this server in a moment or to another one",
        reason="DRAINING",
        retry_after_s=DRAINED_RETRY_AFTER_S,
    )


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
