"""From the server's errors to gRPC statuses: one table, and the details that travel with a status."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from beedex.server.calls.handlers import Context, RemakingInterceptor, Unparsable, parse_within, surround
from beedex.server.calls.work import note_failure
from beedex.server.errors import (
    BuildRunningError,
    DeadlineTooNearError,
    DrainingError,
    EntryIdTakenError,
    EntryNotFoundError,
    ExpectationFailedError,
    ForbiddenError,
    IdleError,
    IndexUnusableError,
    InvalidRequestError,
    LaneFullError,
    LateError,
    LoadingError,
    ModelNotFoundError,
    NothingToCompareError,
    PhotoNotAvailableError,
    RefusalError,
    ResourceNotFoundError,
    SnapshotNotFoundError,
    StreamLimitError,
    UnauthenticatedError,
)

__all__ = [
    "CODE_BY_ERROR",
    "ERROR_DOMAIN",
    "STATUS_KEY",
    "StatusInterceptor",
    "build_status",
    "describe_failure",
    "judge_failure",
    "noting_failure",
]

log = logging.getLogger(__name__)

# The domain of every ErrorInfo.
ERROR_DOMAIN = "beedex"

# Where gRPC carries a google.rpc.Status beside code and message.
STATUS_KEY = "grpc-status-details-bin"

# A status travels in HTTP/2 headers, of which clients accept 8 kB in all; longer texts, which can only be quotes of
# the request, are cut.
LONGEST_MESSAGE_CHARACTERS = 1000
LONGEST_VALUE_CHARACTERS = 200

CODE_BY_ERROR: MappingProxyType[type[RefusalError], grpc.StatusCode] = MappingProxyType(
    {
        BuildRunningError: grpc.StatusCode.ABORTED,
        DeadlineTooNearError: grpc.StatusCode.RESOURCE_EXHAUSTED,
        DrainingError: grpc.StatusCode.UNAVAILABLE,
        EntryIdTakenError: grpc.StatusCode.ALREADY_EXISTS,
        EntryNotFoundError: grpc.StatusCode.NOT_FOUND,
        ExpectationFailedError: grpc.StatusCode.FAILED_PRECONDITION,
        ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
        IdleError: grpc.StatusCode.DEADLINE_EXCEEDED,
        IndexUnusableError: grpc.StatusCode.FAILED_PRECONDITION,
        InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
        LaneFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
        LateError: grpc.StatusCode.DEADLINE_EXCEEDED,
        LoadingError: grpc.StatusCode.UNAVAILABLE,
        ModelNotFoundError: grpc.StatusCode.NOT_FOUND,
        NothingToCompareError: grpc.StatusCode.FAILED_PRECONDITION,
        PhotoNotAvailableError: grpc.StatusCode.NOT_FOUND,
        ResourceNotFoundError: grpc.StatusCode.NOT_FOUND,
        SnapshotNotFoundError: grpc.StatusCode.NOT_FOUND,
        StreamLimitError: grpc.StatusCode.RESOURCE_EXHAUSTED,
        UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    }
)

# All that a caller learns of a fault of the server; the rest is for the log.
FAULT_MESSAGE = "the server failed on this request; its log says why"
FAULT_REASON = "INTERNAL_ERROR"


def build_status(error: RefusalError) -> status_pb2.Status:
    """Return the status of a refusal: an ErrorInfo always, BadRequest and RetryInfo where they fit."""
    message = _cut(str(error), LONGEST_MESSAGE_CHARACTERS)
    values = {name: _cut(str(value), LONGEST_VALUE_CHARACTERS) for name, value in error.values.items()}
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=values)]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _pack(CODE_BY_ERROR[type(error)], message, details)


def build_fault() -> status_pb2.Status:
    """Return the status of whatever the server didn't foresee."""
    info = error_details_pb2.ErrorInfo(reason=FAULT_REASON, domain=ERROR_DOMAIN)
    return _pack(grpc.StatusCode.INTERNAL, FAULT_MESSAGE, [info])


class StatusInterceptor(RemakingInterceptor):
    """Turns what a method raises into a status: refusals as the table says, everything else into INTERNAL.

    An unforeseen error goes to the log with its traceback and never to the caller.
    """

    def __init__(self) -> None:
        super().__init__(_guard)


def _guard(method: str, handler: Any) -> Any:  # noqa: ANN401 - a handler's messages are of any type
    return surround(parse_within(handler, _refuse_unparsable), partial(_Guard, method))


class _Guard:
    """An async context manager around a call's method, after which the caller has a status, whatever it raised."""

    def __init__(self, method: str, context: Context) -> None:
        self._method, self._context = method, context

    async def __aenter__(self) -> None:
        """Begin."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Answer with the error's status, and let the server go on."""
        if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            return False
        _answer(self._context, judge_failure(error, self._method))
        _let_go(error)
        return True


def judge_failure(error: Exception, method: str) -> status_pb2.Status:
    """Return what a caller of *method* is told of an error; note it on the work at hand, and log a fault."""
    _note(error)
    return describe_failure(error, method)


def describe_failure(error: Exception, method: str) -> status_pb2.Status:
    """Return what a caller of *method* is told of an error that doesn't end the work at hand, and log a fault."""
    if isinstance(error, RefusalError):
        return build_status(error)
    log.error("%s failed", method, exc_info=error)
    return build_fault()


@contextmanager
def noting_failure() -> Iterator[None]:
    """Note on the work at hand what ends it, where the interceptor gets to know of that when the work is over."""
    try:
        yield
    except Exception as error:
        _note(error)
        raise


def _note(error: Exception) -> None:
    if isinstance(error, RefusalError):
        note_failure(CODE_BY_ERROR[type(error)], error.reason)
    else:
        note_failure(grpc.StatusCode.INTERNAL, FAULT_REASON)


def _refuse_unparsable(request: Unparsable) -> InvalidRequestError:
    return InvalidRequestError(
        f"the request can't be parsed: expected the message of this RPC in protobuf's binary form, received bytes of "
        f"which protobuf says: {request.error}",
        reason="MALFORMED_MESSAGE",
        field="(message)",
    )


def _answer(context: Context, status: status_pb2.Status) -> None:
    """Let the call end with *status* when its method returns.

    Not by context.abort: the error that it raises and the call that keeps it hold each other and the request until
    the garbage collector comes by: of refused photos of 32 MB, half a gigabyte at a time.
    """
    context.set_code(next(code for code in grpc.StatusCode if code.value[0] == status.code))
    context.set_details(status.message)
    # What is given here replaces what was set before: the request id.
    context.set_trailing_metadata((*context.trailing_metadata(), (STATUS_KEY, status.SerializeToString())))


def _let_go(error: BaseException | None) -> None:
    """Cut an error off from the frames that it went through: a future among them holds it, and they the request."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _pack(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    packed = [AnyMessage() for _ in details]
    for wrapper, detail in zip(packed, details, strict=True):
        wrapper.Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
