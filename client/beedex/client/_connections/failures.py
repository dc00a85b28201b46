"""From the failed call of grpc to the client's error: the one place that knows both."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from beedex.client._errors import (
    AccessError,
    BusyError,
    CallCancelledError,
    ClientError,
    DeadlineError,
    NotFoundError,
    PhotoError,
    PreconditionError,
    RequestError,
    ServerFaultError,
    ServiceError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from google.rpc import status_pb2

__all__ = ["ERROR_BY_CODE", "REQUEST_ID_KEY", "read_request_id", "translate_failure", "translate_status"]

# In the metadata of a call, and in the trailing metadata of its answer.
REQUEST_ID_KEY = "x-request-id"

# Every status code but OK; what `translate_failure` refines is said there.
ERROR_BY_CODE: MappingProxyType[grpc.StatusCode, type[ClientError]] = MappingProxyType(
    {
        grpc.StatusCode.ABORTED: ServiceError,
        grpc.StatusCode.ALREADY_EXISTS: RequestError,
        grpc.StatusCode.CANCELLED: CallCancelledError,
        grpc.StatusCode.DATA_LOSS: ServerFaultError,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
        grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
        grpc.StatusCode.INTERNAL: ServerFaultError,
        grpc.StatusCode.INVALID_ARGUMENT: RequestError,
        grpc.StatusCode.NOT_FOUND: NotFoundError,
        grpc.StatusCode.OUT_OF_RANGE: RequestError,
        grpc.StatusCode.PERMISSION_DENIED: AccessError,
        grpc.StatusCode.RESOURCE_EXHAUSTED: BusyError,
        grpc.StatusCode.UNAUTHENTICATED: AccessError,
        grpc.StatusCode.UNAVAILABLE: UnavailableError,
        grpc.StatusCode.UNIMPLEMENTED: UnsupportedError,
        grpc.StatusCode.UNKNOWN: ServerFaultError,
    }
)

# Where grpc keeps the serialized google.rpc.Status of a failed call.
_STATUS_KEY = "grpc-status-details-bin"

_CODE_BY_NUMBER = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})

# What grpc's words show of a handshake that failed.
_HANDSHAKE_SIGNS = ("handshake", "certificate", "ssl", "tls")

# Of pairs of a key and a value; their types are grpc's own.
Metadata = Iterable[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Details:
    """What the server said about a failure, empty where it said nothing."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    fields: tuple[str, ...] = ()


def translate_failure(
    failure: grpc.RpcError, *, target: str, timeout_s: float | None = None, request_id: str = ""
) -> ClientError:
    """Return the client's error for a failed call.

    INVALID_ARGUMENT about a photo is a `PhotoError`. RESOURCE_EXHAUSTED without a time to wait is no matter of load
    (gRPC refuses messages above the limit with it) and so a `RequestError`.

    Args:
        failure: as grpc raised it; of the synchronous or the asyncio kind.
        target: the server's address, for the message.
        timeout_s: the deadline that the call had, for the message; None for none.
        request_id: what the client called it; the server's word counts more.
    """
    is_call = isinstance(failure, grpc.Call | grpc.aio.AioRpcError)
    metadata: Metadata = (failure.trailing_metadata() if is_call else None) or ()
    code = failure.code() if is_call else None
    packed = next((value for key, value in metadata if key == _STATUS_KEY), b"")
    return _build_error(
        code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN,
        (failure.details() if is_call else str(failure)) or "",
        _read_packed(packed),
        where=_Where(target, timeout_s, read_request_id(metadata) or request_id),
    )


def translate_status(status: "status_pb2.Status", *, target: str = "the server", request_id: str = "") -> ClientError:
    """Return the client's error for one item of a call, which ended in *status* while the call went on.

    Args:
        status: the item's; OK, which says nothing of what is wrong, counts as UNKNOWN.
        target: the server's address, for the message.
        request_id: of the call.
    """
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    code = grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code
    return _build_error(code, status.message, _read_details(status), where=_Where(target, None, request_id))


def read_request_id(metadata: Metadata | None) -> str:
    """Return what the server calls a call, from its trailing metadata; empty if it doesn't say."""
    return next((str(value) for key, value in metadata or () if key == REQUEST_ID_KEY), "")


@dataclass(frozen=True, slots=True)
class _Where:
    """What the client knows of a call that failed."""

    target: str
    timeout_s: float | None
    request_id: str


def _build_error(code: grpc.StatusCode, said: str, found: _Details, *, where: _Where) -> ClientError:
    kind = ERROR_BY_CODE[code]
    if code is grpc.StatusCode.INVALID_ARGUMENT and any(name.endswith("photo") for name in found.fields):
        kind = PhotoError
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and found.retry_after_s is None:
        kind = RequestError
    # Whoever gives a reason words the message as well.
    message = said if found.reason and said else _word_message(kind, said or code.name, where)
    return kind(
        message,
        code=code,
        reason=found.reason,
        retry_after_s=found.retry_after_s,
        request_id=where.request_id,
        details=found.metadata,
    )


def _read_packed(packed: str | bytes) -> _Details:
    # Needed for failures only, and a fifth of the whole import otherwise.
    from google.rpc import status_pb2  # noqa: PLC0415

    # Details that can't be read, such as those of a proxy, leave the code and the message.
    with suppress(DecodeError):
        return _read_details(status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b""))
    return _Details()


def _read_details(status: "status_pb2.Status") -> _Details:
    from google.rpc import error_details_pb2  # noqa: PLC0415 - as above

    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    found = _Details()
    with suppress(DecodeError):
        for detail in status.details:
            if detail.Unpack(info):
                found = replace(found, reason=info.reason, metadata=dict(info.metadata))
            elif detail.Unpack(retry):
                found = replace(found, retry_after_s=retry.retry_delay.ToTimedelta().total_seconds())
            elif detail.Unpack(bad):
                found = replace(found, fields=tuple(violation.field for violation in bad.field_violations))
    return found


# Adds the way out to what grpc, or a server without reasons, said.
_MESSAGES: MappingProxyType[type[ClientError], str] = MappingProxyType(
    {
        AccessError: "{target} doesn't let this caller in ({said}); pass a token= that it knows",
        CallCancelledError: "the call to {target} was cancelled before it was answered ({said})",
        DeadlineError: "no answer from {target} {within}; give it more time with timeout_s",
        UnavailableError: (
            "no beedex server can be reached at {target} ({said}); start one with `beedex serve --index DIR`, name "
            "another target, or pass tls=Tls() to a server that encrypts"
        ),
        UnsupportedError: (
            "the server at {target} doesn't know this call ({said}); is it a beedex server as new as the client?"
        ),
    }
)
_HANDSHAKE_MESSAGE = (
    "no encrypted connection to {target} ({said}); name the server's authority with tls=Tls(ca=FILE) and, where it "
    "asks for one, the client's certificate and key; or leave tls out for a server without"
)


def _word_message(kind: type[ClientError], said: str, where: _Where) -> str:
    message = _MESSAGES.get(kind, "{target}: {said}")
    if kind is UnavailableError and any(sign in said.lower() for sign in _HANDSHAKE_SIGNS):
        message = _HANDSHAKE_MESSAGE
    within = "in time" if where.timeout_s is None else f"within {where.timeout_s:g} s"
    return message.format(target=where.target, said=said, within=within)
