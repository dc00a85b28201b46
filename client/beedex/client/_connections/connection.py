"""The one way of all calls of `Client` to the server: deadline, token, request id, retries, and the client's errors."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message

from beedex.client._connections.failures import read_request_id
from beedex.client._connections.retries import Retries
from beedex.client._connections.wiring import CallMetadata, Wiring, make_metadata, make_request_id
from beedex.client._errors import ClientError, ClosedClientError

if TYPE_CHECKING:
    from types import TracebackType

    from beedex.client._calls.methods import Method
    from beedex.client._connections.channel import ChannelConfig
    from beedex.client._connections.deadline import Deadline

__all__ = ["Connection", "Replies"]

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


class Connection:
    """A connection to a server; safe to share between threads.

    Args:
        config: how it is connected.

    Raises:
        CredentialsError: its certificates can't be used.
    """

    def __init__(self, config: "ChannelConfig") -> None:
        self.config = config
        self._wiring = Wiring(config, grpc)

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
            MisplacedClientError: this is a forked child.
        """
        return self._wiring.start(timeout_s)

    def call(
        self, method: "Method[Request, Reply]", request: Request, deadline: "Deadline", *, retry: bool = True
    ) -> tuple[Reply, str]:
        """Make a unary call; return its reply and the id that the server's log has for it.

        Args:
            method: of one request and one reply.
            request: its message.
            deadline: of all attempts together.
            retry: False to make one attempt.

        Raises:
            ClientError: it failed.
        """
        retries = Retries(self.config.attempts if retry else 1, deadline)
        request_id = make_request_id()
        make = self._wiring.find_callable(method, "unary_unary", retry=retry)
        while True:
            metadata = make_metadata(request_id, self.config.token)
            try:
                return self._attempt(make, request, deadline, metadata, request_id)
            except ClientError as error:
                wait_s = retries.wait_after(error)
                if wait_s is None:
                    raise
            time.sleep(wait_s)

    def _attempt(
        self,
        make: Any,  # noqa: ANN401 - a callable of grpc
        request: Message,
        deadline: "Deadline",
        metadata: CallMetadata,
        request_id: str,
    ) -> tuple[Any, str]:
        try:
            reply, call = make.with_call(request, timeout=deadline.remaining_s(), metadata=metadata)
        except grpc.RpcError as failure:
            raise self._wiring.translate(failure, deadline, request_id) from failure
        except ValueError as failure:
            raise self._explain(failure) from failure
        return reply, read_request_id(call.trailing_metadata()) or request_id

    def open(
        self,
        method: "Method[Request, Reply]",
        requests: "Request | Iterator[Request]",
        deadline: "Deadline | None",
        *,
        retry: bool = True,
        wait_for_ready: bool = False,
    ) -> "Replies[Reply]":
        """Open a stream; it ends with its last reply, or with a `with` block around it.

        Args:
            method: of a stream of replies.
            requests: its request, or, for a stream of them too, an iterator that another thread reads.
            deadline: of the whole stream; None where its items have theirs.
            retry: whether a repeatable method is made again until the first reply.
            wait_for_ready: whether to wait for a server that can't be reached.
        """
        kind = "stream_stream" if isinstance(requests, Iterator) else "unary_stream"
        make = self._wiring.find_callable(method, kind, retry=retry)
        request_id = make_request_id()
        timeout_s = None if deadline is None else deadline.remaining_s()
        try:
            metadata = make_metadata(request_id, self.config.token)
            call = make(requests, timeout=timeout_s, metadata=metadata, wait_for_ready=wait_for_ready)
        except ValueError as failure:
            raise self._explain(failure) from failure
        return Replies(self._wiring, call, deadline, request_id)

    def close(self) -> None:
        """Close the connection; calls still running raise `ClosedClientError`."""
        for channel in self._wiring.close():
            channel.close()

    def _explain(self, failure: ValueError) -> Exception:
        # What grpc raises when another thread closed the channel.
        return ClosedClientError() if self.is_closed else failure


class Replies(Generic[Reply]):
    """The replies of a stream as they come: an iterator, and a context manager that ends the stream.

    Attributes:
        request_id: what the server's log calls the stream.
    """

    def __init__(self, wiring: Wiring, call: Any, deadline: "Deadline | None", request_id: str) -> None:  # noqa: ANN401 - a call of grpc
        self._wiring, self._call, self._deadline = wiring, call, deadline
        self.request_id = request_id

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Reply:
        try:
            reply: Reply = next(self._call)
        except grpc.RpcError as failure:
            raise self._wiring.translate(failure, self._deadline, self.request_id) from failure
        return reply

    def cancel(self) -> None:
        """End the stream now; the server is told. Reading it raises `CallCancelledError` from then on."""
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None"
    ) -> None:
        self.cancel()
