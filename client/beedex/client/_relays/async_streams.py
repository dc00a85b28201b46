"""A relay in tasks: one reads the photos, one the replies, one sends, and the caller takes outcomes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.message import Message

from beedex.client._errors import ClientError

if TYPE_CHECKING:
    from beedex.client._calls.methods import Method
    from beedex.client._connections.async_connection import AsyncConnection, AsyncReplies
    from beedex.client._photos.photos import PhotoSource
    from beedex.client._relays.relay import Relay
    from beedex.client._results.outcomes import Outcome

__all__ = ["relay_in_tasks"]

Item = TypeVar("Item", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")

# How long the end waits for a server to end a stream that is at its end.
END_S = 0.5


def relay_in_tasks(
    relay: "Relay[Item, Reply, Result]",
    connection: "AsyncConnection",
    method: "Method[Item, Reply]",
    photos: "Iterable[PhotoSource] | AsyncIterable[PhotoSource]",
    pack: "Callable[[PhotoSource], Awaitable[bytes | ClientError]]",
) -> "AsyncGenerator[Outcome[Result], None]":
    """Yield the outcomes of *photos* in their order; see `relay_in_threads`."""
    haul = _Haul(relay, connection, method, _iterate(photos), pack)

    async def take_all() -> "AsyncGenerator[Outcome[Result], None]":
        try:
            haul.start()
            while (outcome := await haul.take()) is not None:
                yield outcome
        finally:
            await haul.stop()
        relay.raise_failure()

    return take_all()


def _iterate(photos: "Iterable[PhotoSource] | AsyncIterable[PhotoSource]") -> "AsyncIterator[PhotoSource]":
    if isinstance(photos, AsyncIterable):
        return aiter(photos)
    iterator = iter(photos)

    async def step() -> "AsyncIterator[PhotoSource]":
        for photo in iterator:
            yield photo

    return step()


class _Haul(Generic[Item, Reply, Result]):
    """The tasks around one relay."""

    def __init__(
        self,
        relay: "Relay[Item, Reply, Result]",
        connection: "AsyncConnection",
        method: "Method[Item, Reply]",
        photos: "AsyncIterator[PhotoSource]",
        pack: "Callable[[PhotoSource], Awaitable[bytes | ClientError]]",
    ) -> None:
        self._relay, self._connection, self._method, self._photos, self._pack = relay, connection, method, photos, pack
        # Set, and replaced, whenever the relay has changed.
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to read and to send."""
        self._tasks = [asyncio.create_task(self._feed()), asyncio.create_task(self._carry())]

    async def take(self) -> "Outcome[Result] | None":
        """Wait for the next outcome and return it; None after the last."""
        while True:
            self._relay.expire()
            outcome = self._relay.take()
            if outcome is not None or self._relay.is_over:
                self._notify()
                return outcome
            await self._wait_for_change()

    async def stop(self) -> None:
        """End the tasks and the stream."""
        try:
            if self._relay.is_answered and self._tasks:
                self._notify()
                await asyncio.wait(self._tasks, timeout=END_S)
        finally:
            await _end(*self._tasks)

    async def _feed(self) -> None:
        failure: BaseException | None = None
        try:
            while await self._wait(lambda: self._relay.has_place, unless=lambda: self._relay.is_finished):
                photo = await anext(self._photos)
                self._relay.add(photo, await self._pack(photo))
                self._notify()
        except StopAsyncIteration:
            pass
        # It is the caller's, and raised where he takes the outcomes.
        except Exception as error:  # noqa: BLE001
            failure = error
        self._relay.finish(failure)
        self._notify()

    async def _carry(self) -> None:
        try:
            while await self._wait(lambda: self._relay.wants_stream, unless=lambda: self._relay.is_answered):
                self._relay.begin_stream()
                self._relay.end_stream(await self._run_stream())
                self._notify()
        # Such as that of a client that was closed; the one who takes the outcomes waits for it.
        except Exception as error:  # noqa: BLE001
            self._relay.abort(error)
            self._notify()

    async def _run_stream(self) -> ClientError | None:
        """Carry items and replies until the stream ends; return why it did."""
        try:
            replies = await self._connection.open(self._method, None, None, wait_for_ready=self._relay.should_wait)
            async with replies:
                sending = asyncio.create_task(self._send(replies))
                try:
                    async for reply in replies:
                        self._relay.receive(reply, request_id=replies.request_id)
                        self._notify()
                finally:
                    await _end(sending)
        except ClientError as error:
            return error
        return None

    async def _send(self, replies: "AsyncReplies[Item, Reply]") -> None:
        """Write what goes into a stream, until it ends or nothing can follow."""
        while not self._relay.is_answered:
            item = self._relay.next_item()
            if item is None:
                await self._wait_for_change()
            elif not await replies.write(item):
                return
        await replies.done_writing()

    async def _wait(self, condition: Callable[[], bool], *, unless: Callable[[], bool]) -> bool:
        """Wait until *condition* holds; return False when it never will."""
        while not unless():
            if condition():
                return True
            await self._wait_for_change()
        return False

    async def _wait_for_change(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._relay.wait_s()):
                await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
