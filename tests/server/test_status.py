"""Refusals as google.rpc.Status."""

import grpc
import pytest
from google.rpc import error_details_pb2

from beedex.server.calls.status import CODE_BY_ERROR, ERROR_DOMAIN, build_fault, build_status
from beedex.server.errors import InvalidRequestError, LaneFullError, RefusalError

DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def unpack(status):
    found = {}
    for detail in status.details:
        for kind in DETAILS:
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


def test_every_refusal_has_a_code():
    assert set(CODE_BY_ERROR) == set(RefusalError.__subclasses__())


@pytest.mark.parametrize("kind", CODE_BY_ERROR, ids=lambda kind: kind.__name__)
def test_every_status_has_exactly_one_error_info(kind):
    status = build_status(kind("no", reason="SOME_REASON", values={"number": 3}))
    found = unpack(status)

    assert status.code == CODE_BY_ERROR[kind].value[0]
    assert list(found) == ["ErrorInfo"]
    assert found["ErrorInfo"].reason == "SOME_REASON"
    assert found["ErrorInfo"].domain == ERROR_DOMAIN
    assert dict(found["ErrorInfo"].metadata) == {"number": "3"}


def test_a_field_becomes_a_violation():
    violations = unpack(build_status(InvalidRequestError("k is 0", reason="R", field="k")))["BadRequest"]

    assert [(violation.field, violation.description) for violation in violations.field_violations] == [("k", "k is 0")]


def test_a_time_to_wait_becomes_retry_info():
    retry = unpack(build_status(LaneFullError("full", reason="LANE_FULL", retry_after_s=1.25)))["RetryInfo"]

    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.25


def test_a_status_fits_into_the_headers_of_any_client_however_long_the_request_was():
    huge = "x" * 1_000_000
    status = build_status(InvalidRequestError(huge, reason="R", values={"received": huge}, field="query.entry_id"))

    # 8 kB for all headers is what clients accept; the details travel as base64 beside the message.
    assert len(status.message) + len(status.SerializeToString()) * 4 // 3 < 8000


def test_a_fault_tells_nothing_of_the_inside():
    status = build_fault()

    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == "the server failed on this request; its log says why"
    assert unpack(status)["ErrorInfo"].reason == "INTERNAL_ERROR"
