"""The one way of all calls of `AsyncClient` to the server; the twin of `connection`."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakSet

import grpc
from google.protobuf.message import Message

from beedex.client._connections.failures import read_request_id
from beedex.client._connections.retries import Retries
from beedex.client._connections.wiring import CallMetadata, Wiring, make_metadata, make_request_id
from beedex.client._errors import CallCancelledError, ClientError, ClosedClientError

if TYPE_CHECKING:
    from types import TracebackType

    from beedex.client._calls.methods import Method
    from beedex.client._connections.channel import ChannelConfig
    from beedex.client._connections.deadline import Deadline

__all__ = ["AsyncConnection", "AsyncReplies"]

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class AsyncConnection:
    """A connection to a server, for one event loop: that of the first call.

    Args:
        config: how it is connected.

    Raises:
        CredentialsError: its certificates can't be used.
    """

    def __init__(self, config: "ChannelConfig") -> None:
        self.config = config
        self._wiring = Wiring(config, grpc.aio)
        # grpc.aio's channel finds its calls by the frames of tasks, and so none that is read in a coroutine of ours.
        self._streams: WeakSet[AsyncReplies[Any, Any]] = WeakSet()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._wiring.is_closed

    @property
    def is_open(self) -> bool:
        """Whether there is something to close, and this is the process to do it."""
        return self._wiring.is_open

    def start(self, timeout_s: float | None) -> "Deadline":
        """Return the deadline of a call that begins now; *timeout_s* is None for the client's.

        Raises:
            ClosedClientError: the client is closed.
            MisplacedClientError: this is a forked child, or another event loop than that of the first call.
        """
        return self._wiring.start(timeout_s, loop=asyncio.get_running_loop())

    async def call(
        self, method: "Method[Request, Reply]", request: Request, deadline: "Deadline", *, retry: bool = True
    ) -> tuple[Reply, str]:
        """Make a unary call; see `Connection.call`."""
        retries = Retries(self.config.attempts if retry else 1, deadline)
        request_id = make_request_id()
        make = self._wiring.find_callable(method, "unary_unary", retry=retry)
        while True:
            metadata = await self._make_metadata(request_id)
            try:
                return await self._attempt(make, request, deadline, metadata, request_id)
            except ClientError as error:
                wait_s = retries.wait_after(error)
                if wait_s is None:
                    raise
            await asyncio.sleep(wait_s)

    async def _attempt(
        self,
        make: Any,  # noqa: ANN401 - a callable of grpc
        request: Message,
        deadline: "Deadline",
        metadata: CallMetadata,
        request_id: str,
    ) -> tuple[Any, str]:
        try:
            call = make(request, timeout=deadline.remaining_s(), metadata=metadata)
            reply = await call
        except grpc.RpcError as failure:
            raise self._wiring.translate(failure, deadline, request_id) from failure
        except grpc.aio.UsageError as failure:
            # What grpc raises when another task closed the channel.
            raise ClosedClientError from failure
        except asyncio.CancelledError as failure:
            # What grpc raises too when another task closes it in mid-call.
            if self.is_closed and not _is_cancelled():
                raise ClosedClientError from failure
            raise
        if reply is None:
            raise self._wiring.refuse_reply(request_id)
        return reply, read_request_id(await call.trailing_metadata()) or request_id

    async def open(
        self,
        method: "Method[Request, Reply]",
        requests: "Request | AsyncIterator[Request] | None",
        deadline: "Deadline | None",
        *,
        retry: bool = True,
        wait_for_ready: bool = False,
    ) -> "AsyncReplies[Request, Reply]":
        """Open a stream; see `Connection.open`.

        Args:
            method: of a stream of replies.
            requests: its request; or, for a stream of them too, an iterator of them, or None to `write` them.
            deadline: of the whole stream; None where its items have theirs.
            retry: whether a repeatable method is made again until the first reply.
            wait_for_ready: whether to wait for a server that can't be reached.
        """
        is_stream = requests is None or isinstance(requests, AsyncIterator)
        kind = "stream_stream" if is_stream else "unary_stream"
        make = self._wiring.find_callable(method, kind, retry=retry)
        request_id = make_request_id()
        metadata = await self._make_metadata(request_id)
        timeout_s = None if deadline is None else deadline.remaining_s()
        try:
            call = make(requests, timeout=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready)
        except grpc.aio.UsageError as failure:
            raise ClosedClientError from failure
        replies: AsyncReplies[Request, Reply] = AsyncReplies(self._wiring, call, deadline, request_id)
        self._streams.add(replies)
        return replies

    async def close(self) -> None:
        """Close the connection; calls still running raise `ClosedClientError`."""
        channels = self._wiring.close()
        for stream in self._streams if channels else ():
            stream.cancel()
        for channel in channels:
            await channel.close()

    async def _make_metadata(self, request_id: str) -> CallMetadata:
        token = self.config.token
        if token is None or isinstance(token, str):
            return make_metadata(request_id, token)
        # A file or somebody's function may block.
        return await asyncio.to_thread(make_metadata, request_id, token)


class AsyncReplies(Generic[Request, Reply]):
    """The replies of a stream as they come: an async iterator, and an async context manager that ends the stream.

    Attributes:
        request_id: what the server's log calls the stream.
    """

    def __init__(self, wiring: Wiring, call: Any, deadline: "Deadline | None", request_id: str) -> None:  # noqa: ANN401 - a call of grpc
        self._wiring, self._call, self._deadline = wiring, call, deadline
        self.request_id = request_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply:
        try:
            reply: Any = await self._call.read()
        except grpc.RpcError as failure:
            raise self._wiring.translate(failure, self._deadline, self.request_id) from failure
        except asyncio.CancelledError as failure:
            # grpc raises it also for what this program cancelled otherwise than by cancelling the task.
            if _is_cancelled():
                raise
            if self._wiring.is_closed:
                raise ClosedClientError from failure
            raise CallCancelledError(
                "the stream was cancelled before its end", code=grpc.StatusCode.CANCELLED, request_id=self.request_id
            ) from failure
        if reply is grpc.aio.EOF:
            raise StopAsyncIteration
        if reply is None:
            self.cancel()
            raise self._wiring.refuse_reply(self.request_id)
        found: Reply = reply
        return found

    async def write(self, request: Request) -> bool:
        """Send a request; return False if the stream has ended, of which reading tells the reason."""
        try:
            await self._call.write(request)
        except (grpc.RpcError, asyncio.InvalidStateError):
            return False
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return False
        return True

    async def done_writing(self) -> None:
        """Tell the server that no request follows."""
        # Who reads learns of a stream that ended before.
        try:
            await self._call.done_writing()
        except (grpc.RpcError, asyncio.InvalidStateError):
            return

    def cancel(self) -> None:
        """End the stream now; the server is told. Reading it raises `CallCancelledError` from then on."""
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
