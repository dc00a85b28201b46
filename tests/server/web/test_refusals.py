"""Each way of being refused over HTTP: the status, and the same words as over gRPC."""

import asyncio
import io
import json
import sys

import grpc
import numpy as np
import pytest
from PIL import Image
from starlette.datastructures import Headers
from tests.server.scenarios import run

from beedex.server.calls.status import CODE_BY_ERROR
from beedex.server.errors import InvalidRequestError
from beedex.server.web.headers import PROTECTION
from beedex.server.web.intake import Intake
from beedex.server.web.sources import read_source
from beedex.server.web.wording import STATUS_BY_CODE, STATUS_BY_REASON, choose_status

JPEG = {"Content-Type": "image/jpeg"}
JSON = {"Content-Type": "application/json"}
UNKNOWN_ENTRY = "0123456789abcdef"


def refusal(reply):
    """Status, code, reason and field of a reply that must be a refusal, in the one shape that they have."""
    error = reply.json()["error"]
    assert set(error) == {"code", "reason", "message", "field", "details", "retry_after_s", "request_id"}
    assert error["request_id"] == reply.headers["x-request-id"]
    assert reply.headers["content-type"] == "application/json"
    return reply.status_code, error["code"], error["reason"], error["field"]


def test_every_code_has_a_status():
    assert set(STATUS_BY_CODE) == set(grpc.StatusCode)


def test_every_error_of_the_server_has_a_status_of_its_kind():
    for code in CODE_BY_ERROR.values():
        assert choose_status(code, "ANY") == STATUS_BY_CODE[code] >= 400


def test_every_reason_with_a_status_of_its_own_is_the_callers():
    assert all(400 <= status < 500 for status in STATUS_BY_REASON.values())


def encode(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", JPEG, (400, "INVALID_ARGUMENT", "EMPTY", "photo")),
        (b"no photo", JPEG, (400, "INVALID_ARGUMENT", "NOT_A_PHOTO", "photo")),
        (encode(Image.new("RGB", (9, 9)), "GIF"), JPEG, (400, "INVALID_ARGUMENT", "UNSUPPORTED_FORMAT", "photo")),
        (encode(Image.new("RGB", (20_001, 1)), "PNG"), JPEG, (400, "INVALID_ARGUMENT", "SIDE_TOO_LONG", "photo")),
        (b"x" * (32 * 1024 * 1024 + 1), JPEG, (413, "INVALID_ARGUMENT", "TOO_MANY_BYTES", "photo")),
        (b"x", {"Content-Type": "text/plain"}, (415, "INVALID_ARGUMENT", "MEDIA_TYPE_UNSUPPORTED", "")),
        (b"x", {}, (415, "INVALID_ARGUMENT", "MEDIA_TYPE_UNSUPPORTED", "")),
        (b"{", JSON, (400, "INVALID_ARGUMENT", "MALFORMED_JSON", "")),
        (b"\xff", JSON, (400, "INVALID_ARGUMENT", "MALFORMED_JSON", "")),
        (b"[" * 100_000, JSON, (400, "INVALID_ARGUMENT", "MALFORMED_JSON", "")),
        (b"[]", JSON, (400, "INVALID_ARGUMENT", "SOURCE_MISSING", "")),
        (b"{}", JSON, (400, "INVALID_ARGUMENT", "SOURCE_MISSING", "")),
        (b'{"entry_id": 7}', JSON, (400, "INVALID_ARGUMENT", "SOURCE_MISSING", "")),
        (b'{"entry_id": "no"}', JSON, (400, "INVALID_ARGUMENT", "MALFORMED_ENTRY_ID", "entry_id")),
        (b'{"vector": [1, "2"]}', JSON, (400, "INVALID_ARGUMENT", "NOT_A_NUMBER", "vector")),
        (b'{"vector": [true]}', JSON, (400, "INVALID_ARGUMENT", "NOT_A_NUMBER", "vector")),
        (b'{"vector": []}', JSON, (400, "INVALID_ARGUMENT", "WRONG_DIMENSION", "vector")),
        (b'{"vector": [1]}', JSON, (400, "INVALID_ARGUMENT", "WRONG_DIMENSION", "vector")),
        (json.dumps({"vector": [0] * 32}).encode(), JSON, (400, "INVALID_ARGUMENT", "ZERO_VECTOR", "vector")),
        (json.dumps({"vector": [1e300] * 32}).encode(), JSON, (400, "INVALID_ARGUMENT", "NOT_FINITE", "vector")),
        (json.dumps({"vector": [10**400] * 32}).encode(), JSON, (400, "INVALID_ARGUMENT", "NOT_FINITE", "vector")),
        (json.dumps({"vector": [np.nan] * 32}).encode(), JSON, (400, "INVALID_ARGUMENT", "NOT_FINITE", "vector")),
        (json.dumps({"entry_id": UNKNOWN_ENTRY}).encode(), JSON, (404, "NOT_FOUND", "ENTRY_NOT_FOUND", "entry_id")),
    ],
)
def test_a_body_that_cannot_be_used_is_refused(http, body, headers, expected):
    assert refusal(http.post("/v1/identify", content=body, headers=headers)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        b"--b\r\n\r\n",
        b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="photo"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
    ],
)
def test_a_form_without_its_one_photo_is_refused(http, body):
    reply = http.post("/v1/identify", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert refusal(reply)[:3] == (400, "INVALID_ARGUMENT", "MALFORMED_FORM")


def count_calls_of_parsing(body):
    """How many Python functions run until a form is refused."""
    calls = []

    coming = [body]

    async def receive():
        if not coming:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": coming.pop(), "more_body": False}

    async def refuse():
        intake = Intake(Headers({"content-length": str(len(body))}), receive, within_s=9)
        sys.setprofile(lambda _frame, event, _argument: calls.append(event) if event == "call" else None)
        try:
            await read_source(intake, "multipart/form-data; boundary=b", most_bytes=len(body))
        finally:
            sys.setprofile(None)

    with pytest.raises(InvalidRequestError, match="more than one part"):
        run(refuse)
    return len(calls)


def test_a_form_of_many_parts_is_refused_at_the_second():
    part = b"--b\r\n\r\n\r\n"

    assert count_calls_of_parsing(part * 10_000) < 1000


def test_a_form_without_a_boundary_is_refused(http):
    reply = http.post("/v1/identify", content=b"x", headers={"Content-Type": "multipart/form-data"})

    assert refusal(reply)[:3] == (400, "INVALID_ARGUMENT", "MALFORMED_FORM")


@pytest.mark.parametrize("path", ["/v1/embed", "/v1/view"])
def test_a_vector_is_nothing_to_embed_or_look_at(http, path):
    assert refusal(http.post(path, json={"vector": [1.0]}))[2] == "SOURCE_MISSING"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"k": 0}, (400, "INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k")),
        ({"k": 10**6}, (400, "INVALID_ARGUMENT", "K_OUT_OF_RANGE", "k")),
        ({"k": "many"}, (400, "INVALID_ARGUMENT", "NOT_A_NUMBER", "k")),
        ({"k": "9" * 5000}, (400, "INVALID_ARGUMENT", "NOT_A_NUMBER", "k")),
        ({"k": "²"}, (400, "INVALID_ARGUMENT", "NOT_A_NUMBER", "k")),
        ({"timeout_s": "soon"}, (400, "INVALID_ARGUMENT", "TIMEOUT_OUT_OF_RANGE", "timeout_s")),
        ({"timeout_s": "nan"}, (400, "INVALID_ARGUMENT", "TIMEOUT_OUT_OF_RANGE", "timeout_s")),
        ({"timeout_s": 0}, (400, "INVALID_ARGUMENT", "TIMEOUT_OUT_OF_RANGE", "timeout_s")),
        ({"timeout_s": 10**6}, (400, "INVALID_ARGUMENT", "TIMEOUT_OUT_OF_RANGE", "timeout_s")),
        ({"expected_fingerprint": "0" * 64}, (400, "FAILED_PRECONDITION", "FINGERPRINT_MISMATCH", "")),
        ({"expected_snapshot": 99}, (400, "FAILED_PRECONDITION", "SNAPSHOT_MISMATCH", "")),
        ({"expected_snapshot": -1}, (400, "INVALID_ARGUMENT", "OUT_OF_RANGE", "expected_snapshot")),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused(http, asked, expected):
    assert refusal(http.post("/v1/identify", params=asked, json={"entry_id": UNKNOWN_ENTRY})) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/entries?limit=0", (400, "INVALID_ARGUMENT", "OUT_OF_RANGE", "limit")),
        ("/v1/entries?limit=201", (400, "INVALID_ARGUMENT", "OUT_OF_RANGE", "limit")),
        ("/v1/entries?cursor=x", (400, "INVALID_ARGUMENT", "MALFORMED_CURSOR", "cursor")),
        ("/v1/entries/x", (400, "INVALID_ARGUMENT", "MALFORMED_ENTRY_ID", "entry_id")),
        (f"/v1/entries/{UNKNOWN_ENTRY}", (404, "NOT_FOUND", "ENTRY_NOT_FOUND", "entry_id")),
        (f"/v1/photos/{UNKNOWN_ENTRY}", (404, "NOT_FOUND", "ENTRY_NOT_FOUND", "entry_id")),
        (f"/v1/photos/{UNKNOWN_ENTRY}?size=9999", (400, "INVALID_ARGUMENT", "OUT_OF_RANGE", "size")),
        ("/v1/suspects?limit=0", (400, "INVALID_ARGUMENT", "OUT_OF_RANGE", "limit")),
        ("/v1/report/page", (404, "NOT_FOUND", "REPORT_MISSING", "")),
        ("/v1", (404, "NOT_FOUND", "PATH_NOT_FOUND", "")),
        ("/v1/nothing", (404, "NOT_FOUND", "PATH_NOT_FOUND", "")),
        ("/no-such-page.html", (404, "NOT_FOUND", "PATH_NOT_FOUND", "")),
    ],
)
def test_what_is_not_there_is_refused(http, path, expected):
    assert refusal(http.get(path)) == expected


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..%5c..", "a%00b", "%F0%28", "x" * 5000])
@pytest.mark.parametrize("path", ["/v1/photos/", "/v1/entries/", "/"])
def test_no_name_leads_out_of_what_is_there(http, path, name):
    assert refusal(http.get(path + name))[0] in {400, 404}


def test_a_verb_that_a_path_does_not_take_is_refused_with_those_that_it_takes(http):
    reply = http.delete("/v1/families")

    assert refusal(reply)[:3] == (405, "INVALID_ARGUMENT", "METHOD_NOT_ALLOWED")
    assert reply.headers["allow"] == "GET, HEAD"
    assert http.get("/v1/identify").headers["allow"] == "POST"
    assert refusal(http.post("/"))[0] == 405
    assert refusal(http.options("/v1/identify"))[0] == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "10.0.0.1", "localhost.evil.example", "[2001::1]"]
)
def test_a_name_that_somebody_had_lead_to_this_machine_is_refused(http, host):
    assert refusal(http.get("/v1/families", headers={"Host": host}))[:3] == (
        421,
        "PERMISSION_DENIED",
        "HOST_NOT_ALLOWED",
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:80", "127.1.2.3"])
def test_this_machines_own_names_are_answered(http, host):
    assert http.get("/v1/families", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_what_another_sites_page_asks_is_refused(http, headers):
    assert refusal(http.get("/v1/families", headers=headers))[:3] == (403, "PERMISSION_DENIED", "OTHER_SITE")


def test_what_the_servers_own_page_asks_is_answered(http, web_url):
    headers = {"Origin": web_url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}

    assert http.get("/v1/families", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/families", "/nothing", "/healthz", "/openapi.json", "/v1/suspects?limit=0"])
def test_every_answer_tells_browsers_what_they_may_do_with_it(http, path):
    headers = http.get(path).headers

    assert {name.lower() for name in PROTECTION} <= set(headers)
    assert "access-control-allow-origin" not in headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
