"""The errors of the client.

    ClientError                    everything that a call raises
    ├── RequestError               the request can't be answered as it is; sending it again won't help
    │   ├── PhotoError             the photo can't be read, used, or is beyond the server's limits
    │   ├── NotFoundError          the server has no such entry
    │   ├── PreconditionError      the server's embedder, snapshot or index is not what the request needs
    │   ├── AccessError            the server doesn't let this caller in
    │   ├── CredentialsError       the client's own certificate or token can't be used; nothing was sent
    │   └── UnsupportedError       client and server are of versions that don't understand each other
    └── ServiceError               the request may be right; the service failed it
        ├── UnavailableError       the server can't be reached, is loading or is going down
        ├── BusyError              the server has too much to do; retry_after_s says when to try again
        ├── DeadlineError          no answer came in time
        ├── CallCancelledError     the call was cancelled before it was answered
        └── ServerFaultError       the server failed on this request; its log says why

    ClosedClientError              a closed client was used
    MisplacedClientError           a client was used in another process or event loop than its own, or pickled

The last two are mistakes in the program, hence RuntimeErrors; arguments that make no sense are ValueErrors and
TypeErrors. No exception of grpc leaves the client; the original is the `__cause__`. A task of asyncio that is cancelled
raises asyncio's own CancelledError, as everywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType

import grpc

__all__ = [
    "AccessError",
    "BusyError",
    "CallCancelledError",
    "ClientError",
    "ClosedClientError",
    "CredentialsError",
    "DeadlineError",
    "MisplacedClientError",
    "NotFoundError",
    "PhotoError",
    "PreconditionError",
    "RequestError",
    "ServerFaultError",
    "ServiceError",
    "UnavailableError",
    "UnsupportedError",
]

_NO_DETAILS: Mapping[str, str] = MappingProxyType({})


class ClientError(Exception):
    """A call to a beedex server failed.

    Attributes:
        code: the status code; None when the server told none.
        reason: an UPPER_SNAKE name of what happened, such as NOT_A_PHOTO; empty when the server gave none.
        retry_after_s: after how many seconds the server suggests another attempt; None when it suggests none.
        request_id: the call's name in the server's log; empty when it has none there, or several.
        details: the values that the message mentions, by name.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        retry_after_s: float | None = None,
        request_id: str = "",
        details: Mapping[str, str] = _NO_DETAILS,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.details = dict(details)


class RequestError(ClientError):
    """The request can't be answered as it is."""


class PhotoError(RequestError):
    """The photo can't be read, can't be used, or is beyond the server's limits."""


class NotFoundError(RequestError):
    """The server has no such entry."""


class PreconditionError(RequestError):
    """The server's embedder, snapshot or index is not what the request needs."""


class AccessError(RequestError):
    """The server doesn't let this caller in."""


class CredentialsError(RequestError):
    """The client's own certificate or token can't be used."""


class UnsupportedError(RequestError):
    """Client and server are of versions that don't understand each other."""


class ServiceError(ClientError):
    """The service failed on a request that may be right."""


class UnavailableError(ServiceError):
    """The server can't be reached, is loading or is going down."""


class BusyError(ServiceError):
    """The server has too much to do."""


class DeadlineError(ServiceError):
    """No answer came in time."""


class CallCancelledError(ServiceError):
    """The call was cancelled before it was answered."""


class ServerFaultError(ServiceError):
    """The server failed on this request."""


class ClosedClientError(RuntimeError):
    """A closed client was used."""

    def __init__(self) -> None:
        super().__init__("the client is closed; make the call inside its `with` block, or open another client")


class MisplacedClientError(RuntimeError):
    """A client was used in another process or event loop than its own, or pickled for one."""
