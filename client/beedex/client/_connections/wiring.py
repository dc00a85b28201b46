"""What the connections of both clients are made of: channels, what is called through them, and what callers say."""

import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from beedex.client._connections.credentials import TokenSource, open_tls, read_token
from beedex.client._connections.deadline import Deadline
from beedex.client._connections.failures import REQUEST_ID_KEY, translate_failure
from beedex.client._connections.home import Home
from beedex.client._errors import CallCancelledError, ClosedClientError, ServerFaultError

if TYPE_CHECKING:
    from beedex.client._calls.methods import Method
    from beedex.client._connections.channel import ChannelConfig

__all__ = ["CallMetadata", "Wiring", "make_metadata", "make_request_id"]

CallMetadata = tuple[tuple[str, str], ...]


class Face(Protocol):
    """The module `grpc` or `grpc.aio`."""

    # Of their own types, which have no base in common.
    insecure_channel: Any
    secure_channel: Any


class Wiring:
    """The channels of one client.

    Args:
        config: how it is connected.
        face: `grpc` or `grpc.aio`.

    Attributes:
        config: see above.
        home: where calls may be made.
        is_closed: whether the client is.
    """

    def __init__(self, config: "ChannelConfig", face: Face) -> None:
        self.config = config
        self.home = Home()
        self.is_closed = False
        self._face = face
        self._credentials = None if config.tls is None else open_tls(config.tls)
        self._lock = threading.Lock()
        self._channels: dict[bool, Any] = {}
        self._callables: dict[tuple[str, bool], Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether there are channels, which this process has to close. The first call makes them."""
        return bool(self._channels) and not self.is_closed and self.home.is_here

    def start(self, timeout_s: float | None, *, loop: object = None) -> Deadline:
        """Return the deadline of a call that begins now.

        Args:
            timeout_s: None for the client's.
            loop: the running event loop, where there is one.

        Raises:
            ClosedClientError: the client is closed.
            MisplacedClientError: it is used where it wasn't opened.
        """
        if self.is_closed:
            raise ClosedClientError
        self.home.require(loop)
        return Deadline.after(self.config.timeout_s if timeout_s is None else timeout_s)

    def find_callable(self, method: "Method[Any, Any]", kind: str, *, retry: bool) -> Any:  # noqa: ANN401 - of the kind's type
        """Return what makes calls of *method*.

        Args:
            method: the RPC.
            kind: unary_unary, unary_stream or stream_stream.
            retry: whether gRPC may repeat them. Its retries are a channel's: calls that want none take a connection of
                their own.
        """
        found = self._callables.get((method.path, retry))
        if found is None:
            with self._lock:
                if self.is_closed:
                    raise ClosedClientError
                make = getattr(self._find_channel(retry=retry), kind)
                found = make(method.path, method.request.SerializeToString, method.reply.FromString)
                self._callables[method.path, retry] = found
        return found

    def close(self) -> list[Any]:
        """Refuse further calls; return the channels that are to be closed.

        A forked child leaves those of its parent alone: gRPC would wait there for threads that it doesn't have.
        """
        with self._lock:
            self.is_closed = True
            channels = list(self._channels.values()) if self.home.is_here else []
            if self.home.is_here:
                self._channels.clear()
        return channels

    def translate(self, failure: grpc.RpcError, deadline: Deadline | None, request_id: str) -> Exception:
        """Return the error that a failed call is for the caller."""
        error = translate_failure(
            failure,
            target=self.config.target,
            timeout_s=None if deadline is None else deadline.timeout_s,
            request_id=request_id,
        )
        # Closing a channel cancels what runs through it.
        return ClosedClientError() if self.is_closed and isinstance(error, CallCancelledError) else error

    def refuse_reply(self, request_id: str) -> ServerFaultError:
        """Return the error of a reply that is no message; grpc.aio passes it on as None, where grpc has this error."""
        return ServerFaultError(
            f"{self.config.target}: the reply can't be read; is it a beedex server?",
            code=grpc.StatusCode.INTERNAL,
            request_id=request_id,
        )

    def _find_channel(self, *, retry: bool) -> Any:  # noqa: ANN401 - of the face's type
        if retry not in self._channels:
            self.home.enter()
            target, options = self.config.target, self.config.options(retry=retry)
            self._channels[retry] = (
                self._face.insecure_channel(target, options)
                if self._credentials is None
                else self._face.secure_channel(target, self._credentials, options)
            )
        return self._channels[retry]


def make_request_id() -> str:
    """Return what a call is called in the server's log: 32 hex digits."""
    return os.urandom(16).hex()


def make_metadata(request_id: str, token: TokenSource | None) -> CallMetadata:
    """Return what a call says of itself; raise `CredentialsError` if the token can't be had."""
    about = ((REQUEST_ID_KEY, request_id),)
    return about if token is None else (*about, ("authorization", f"Bearer {read_token(token)}"))
