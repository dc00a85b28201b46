"""From gRPC statuses to HTTP: one table, and the JSON that says what a `google.rpc.Status` says."""

import math
from types import MappingProxyType
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from starlette.responses import JSONResponse

__all__ = ["STATUS_BY_CODE", "STATUS_BY_REASON", "answer_refusal", "choose_status"]

# As google/rpc/code.proto pairs them, which gateways between gRPC and HTTP keep to.
STATUS_BY_CODE: MappingProxyType[grpc.StatusCode, int] = MappingProxyType(
    {
        grpc.StatusCode.OK: 200,
        grpc.StatusCode.CANCELLED: 499,
        grpc.StatusCode.UNKNOWN: 500,
        grpc.StatusCode.INVALID_ARGUMENT: 400,
        grpc.StatusCode.DEADLINE_EXCEEDED: 504,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.ALREADY_EXISTS: 409,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
        grpc.StatusCode.FAILED_PRECONDITION: 400,
        grpc.StatusCode.ABORTED: 409,
        grpc.StatusCode.OUT_OF_RANGE: 400,
        grpc.StatusCode.UNIMPLEMENTED: 501,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.UNAVAILABLE: 503,
        grpc.StatusCode.DATA_LOSS: 500,
        grpc.StatusCode.UNAUTHENTICATED: 401,
    }
)

# Where HTTP has a better word than the code's own.
STATUS_BY_REASON: MappingProxyType[str, int] = MappingProxyType(
    {
        "BODY_TOO_LARGE": 413,
        "BODY_TOO_SLOW": 408,
        "HOST_NOT_ALLOWED": 421,
        "MEDIA_TYPE_UNSUPPORTED": 415,
        "METHOD_NOT_ALLOWED": 405,
        "TOO_MANY_BYTES": 413,
    }
)

CODE_BY_NUMBER = MappingProxyType({code.value[0]: code for code in grpc.StatusCode})


def choose_status(code: grpc.StatusCode, reason: str) -> int:
    """Return the HTTP status of a refusal."""
    return STATUS_BY_REASON.get(reason, STATUS_BY_CODE[code])


def answer_refusal(status: status_pb2.Status, request_id: str) -> JSONResponse:
    """Return what a caller is told of a refusal or a fault."""
    code = CODE_BY_NUMBER[status.code]
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
        _ = detail.Unpack(info) or detail.Unpack(bad)
    fields = [violation.field.removeprefix("query.") for violation in bad.field_violations]
    error: dict[str, Any] = {
        "code": code.name,
        "reason": info.reason,
        "message": status.message,
        "field": fields[0] if fields else "",
        "details": dict(info.metadata),
        "retry_after_s": retry_after_s,
        "request_id": request_id,
    }
    headers = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    if code is grpc.StatusCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="beedex"'
    return JSONResponse({"error": error}, status_code=choose_status(code, info.reason), headers=headers)
