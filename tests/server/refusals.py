"""What a call was refused with."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

STATUS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Refusal:
    """Of one call, or of one item of it; the reason is empty where no ErrorInfo came."""

    code: grpc.StatusCode
    reason: str = ""
    domain: str = ""
    fields: tuple[str, ...] = ()
    retry_after_s: float | None = None
    message: str = ""


def read_refusal(error: Any) -> Refusal:
    """Read what a call raised."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata.get(STATUS_KEY, b""))
    if not status.code:
        return Refusal(error.code(), message=error.details() or "")
    assert (status.code, status.message) == (error.code().value[0], error.details())
    return read_status(status)


def read_status(status: status_pb2.Status) -> Refusal:
    """Read a status, of a call or of an item."""
    details: dict[str, Any] = {}
    for wrapped in status.details:
        kind = getattr(error_details_pb2, wrapped.TypeName().rpartition(".")[2])
        assert kind.DESCRIPTOR.name not in details, "details come once"
        details[kind.DESCRIPTOR.name] = kind.FromString(wrapped.value)
    info = details["ErrorInfo"]
    violations = details["BadRequest"].field_violations if "BadRequest" in details else ()
    retry = details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() if "RetryInfo" in details else None
    return Refusal(
        code=next(code for code in grpc.StatusCode if code.value[0] == status.code),
        reason=info.reason,
        domain=info.domain,
        fields=tuple(violation.field for violation in violations),
        retry_after_s=retry,
        message=status.message,
    )
