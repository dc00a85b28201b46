"""From every status code to one error, with what the server said."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import beedex.client
from beedex.client import (
    BusyError,
    ClientError,
    DeadlineError,
    NotFoundError,
    PhotoError,
    RequestError,
    UnavailableError,
)
from beedex.client._connections.failures import ERROR_BY_CODE, translate_failure, translate_status


def fail(code, message="no", *details):
    """A failed call as grpc.aio raises it, with these details."""
    packed = [Any() for _ in details]
    for wrapper, detail in zip(packed, details, strict=True):
        wrapper.Pack(detail)
    status = status_pb2.Status(code=code.value[0], message=message, details=packed)
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString())) if details else None
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata or grpc.aio.Metadata(), details=message)


def translate(failure):
    return translate_failure(failure, target="bees:1", timeout_s=3.0)


def test_every_status_code_but_ok_has_an_error():
    assert set(ERROR_BY_CODE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("code", ERROR_BY_CODE, ids=lambda code: code.name)
def test_every_code_becomes_a_client_error_that_names_it(code):
    error = translate(fail(code))

    assert isinstance(error, ClientError)
    assert error.code is code
    assert str(error)


def test_the_servers_words_reason_and_values_are_kept():
    info = error_details_pb2.ErrorInfo(reason="K_OUT_OF_RANGE", domain="beedex", metadata={"most": "50"})
    error = translate(fail(grpc.StatusCode.INVALID_ARGUMENT, "k is out of range", info))

    assert type(error) is RequestError
    assert (str(error), error.reason, error.details) == ("k is out of range", "K_OUT_OF_RANGE", {"most": "50"})


@pytest.mark.parametrize("field", ["photo", "query.photo"])
def test_an_invalid_photo_is_a_photo_error(field):
    violation = error_details_pb2.BadRequest.FieldViolation(field=field)
    bad = error_details_pb2.BadRequest(field_violations=[violation])

    assert type(translate(fail(grpc.StatusCode.INVALID_ARGUMENT, "no", bad))) is PhotoError


def test_a_busy_server_says_when_to_come_back():
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    error = translate(fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry))

    assert type(error) is BusyError
    assert error.retry_after_s == 1.5


def test_a_message_too_large_is_no_busy_server():
    error = translate(fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max"))

    assert type(error) is RequestError
    assert error.retry_after_s is None


def test_an_unreachable_server_is_named_with_the_way_out():
    error = translate(fail(grpc.StatusCode.UNAVAILABLE, "connection refused"))

    assert type(error) is UnavailableError
    assert "bees:1" in str(error)
    assert "beedex serve" in str(error)


def test_a_missed_deadline_says_how_long_it_was():
    error = translate(fail(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    assert type(error) is DeadlineError
    assert "3 s" in str(error)


def test_a_deadline_of_the_servers_own_keeps_the_servers_words():
    info = error_details_pb2.ErrorInfo(reason="STREAM_IDLE", domain="beedex")
    error = translate(fail(grpc.StatusCode.DEADLINE_EXCEEDED, "nothing came for 60 s", info))

    assert (type(error), str(error), error.reason) == (DeadlineError, "nothing came for 60 s", "STREAM_IDLE")


def test_the_request_id_is_the_servers_or_else_the_clients():
    refusal = grpc.aio.AioRpcError(
        grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(("x-request-id", "theirs")), details="oops"
    )

    assert translate_failure(refusal, target="bees:1", request_id="ours").request_id == "theirs"
    assert translate_failure(fail(grpc.StatusCode.INTERNAL), target="bees:1", request_id="ours").request_id == "ours"


def test_an_item_of_a_stream_fails_as_a_call_does():
    detail = Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="DAMAGED", domain="beedex", metadata={"format": "JPEG"}))
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="gone", details=[detail])
    error = translate_status(status, request_id="ours/1")

    assert (type(error), str(error), error.reason, error.request_id) == (NotFoundError, "gone", "DAMAGED", "ours/1")
    assert error.details == {"format": "JPEG"}


@pytest.mark.parametrize("number", [0, 99])
def test_an_item_that_failed_with_no_code_of_grpcs_is_unknown(number):
    assert translate_status(status_pb2.Status(code=number)).code is grpc.StatusCode.UNKNOWN


def test_details_that_nobody_can_read_are_no_reason_to_fail():
    class Garbled(grpc.aio.AioRpcError):
        def trailing_metadata(self):
            return grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff not a status"))

    error = translate(Garbled(grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), details="oops"))

    assert error.code is grpc.StatusCode.INTERNAL
    assert "oops" in str(error)


def test_the_tree_is_the_one_that_the_docstring_draws():
    drawn = beedex.client._errors.__doc__ or ""
    errors = [
        error for error in vars(beedex.client).values() if isinstance(error, type) and issubclass(error, Exception)
    ]

    assert len(errors) == 16
    for error in errors:
        assert error.__name__ in drawn
