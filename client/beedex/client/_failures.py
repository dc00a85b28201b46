"""From the failed call of grpc to the client's error: the one place that knows both."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType

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

__all__ = ["ERROR_BY_CODE", "translate_failure"]

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Details:
    """What the server said about a failure, empty where it said nothing."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    fields: tuple[str, ...] = ()


def translate_failure(failure: grpc.RpcError, *, target: str, timeout_s: float) -> ClientError:
    """Return the client's error for a failed call.

    INVALID_ARGUMENT about a photo is a `PhotoError`. RESOURCE_EXHAUSTED without a time to wait is no matter of load
    (gRPC refuses messages above the limit with it) and so a `RequestError`.

    Args:
        failure: as grpc raised it; of the synchronous or the asyncio kind.
        target: the server's address, for the message.
        timeout_s: the deadline that the call had, for the message.
    """
    code = _read_code(failure)
    found = _read_details(failure)
    kind = ERROR_BY_CODE[code]
    if code is grpc.StatusCode.INVALID_ARGUMENT and any(name.endswith("photo") for name in found.fields):
        kind = PhotoError
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and found.retry_after_s is None:
        kind = RequestError
    said = failure.details() if isinstance(failure, grpc.Call | grpc.aio.AioRpcError) else str(failure)
    return kind(
        _word_message(kind, said or code.name, answered=bool(found.reason), target=target, timeout_s=timeout_s),
        code=code,
        reason=found.reason,
        retry_after_s=found.retry_after_s,
        details=found.metadata,
    )


def _read_code(failure: grpc.RpcError) -> grpc.StatusCode:
    code = failure.code() if isinstance(failure, grpc.Call | grpc.aio.AioRpcError) else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _read_details(failure: grpc.RpcError) -> _Details:
    # Needed for failures only, and a fifth of the whole import otherwise.
    from google.rpc import error_details_pb2, status_pb2  # noqa: PLC0415

    metadata = failure.trailing_metadata() if isinstance(failure, grpc.Call | grpc.aio.AioRpcError) else None
    packed = next((value for key, value in metadata or () if key == _STATUS_KEY), b"")
    info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    found = _Details()
    # Details that can't be read, such as those of a proxy, leave the code and the message.
    with suppress(DecodeError):
        status = status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
        for detail in status.details:
            if detail.Unpack(info):
                found = replace(found, reason=info.reason, metadata=dict(info.metadata))
            elif detail.Unpack(retry):
                found = replace(found, retry_after_s=retry.retry_delay.ToTimedelta().total_seconds())
            elif detail.Unpack(bad):
                found = replace(found, fields=tuple(violation.field for violation in bad.field_violations))
    return found


def _word_message(kind: type[ClientError], said: str, *, answered: bool, target: str, timeout_s: float) -> str:
    """Add the way out to what the server, or in its absence grpc, said."""
    if kind is DeadlineError:
        return f"no answer from {target} within {timeout_s:g} s; give it more time with timeout_s"
    if answered:
        return said
    if kind is UnavailableError:
        return (
            f"no beedex server can be reached at {target} ({said}); "
            "start one with `beedex serve --index DIR`, or name another target"
        )
    if kind is UnsupportedError:
        return f"the server at {target} doesn't know this call ({said}); is it a beedex server as new as the client?"
    return f"{target}: {said}"
