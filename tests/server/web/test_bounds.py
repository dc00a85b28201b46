"""Nobody takes more of the server than it gives: bodies, heads, connections, and callers who neither send nor take."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager

import httpx
import psutil
import pytest
from tests.server.scenarios import run, until

from beedex.server.config import LimitsConfig

NARROW = LimitsConfig(max_photo_bytes=1000)
MOST = NARROW.max_message_bytes


@asynccontextmanager
async def connected(served):
    """A bare connection: reader and writer."""
    host, _, port = served.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


def head(*lines, path="/v1/identify"):
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/jpeg", *lines, "", ""]
    ).encode()


async def read_reply(reader):
    """Status and document of one reply."""
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(answer.split()[1]), json.loads(await reader.readexactly(int(length.split(b":")[1])))


async def read_end(reader):
    """What still comes until the server ends the connection, in whichever way."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_comes(web_serving):
    async def scenario():
        async with (
            web_serving(limits=NARROW) as served,
            connected(served) as (reader, writer),
        ):
            writer.write(head(f"Content-Length: {MOST + 1}"))
            status, body = await read_reply(reader)
            assert (status, body["error"]["reason"]) == (413, "BODY_TOO_LARGE")
            assert body["error"]["details"] == {"most": str(MOST), "received": str(MOST + 1)}
            assert await reader.read() == b""

    run(scenario)


def test_who_waits_for_leave_to_send_is_refused_without_it(web_serving):
    async def scenario():
        async with (
            web_serving(limits=NARROW) as served,
            connected(served) as (reader, writer),
        ):
            writer.write(head(f"Content-Length: {MOST + 1}", "Expect: 100-continue"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")

    run(scenario)


def test_a_chunked_body_is_refused_when_it_has_become_too_large(web_serving):
    piece = b"x" * 65536

    async def scenario():
        async with (
            web_serving(limits=NARROW) as served,
            connected(served) as (reader, writer),
        ):
            writer.write(head("Transfer-Encoding: chunked"))
            replying = asyncio.create_task(read_reply(reader))
            sent = 0
            while not replying.done() and sent < 20 * MOST:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                sent += len(piece)
                await writer.drain()
                await asyncio.sleep(0)
            status, body = await replying
            assert (status, body["error"]["reason"]) == (413, "BODY_TOO_LARGE")
            assert sent < 20 * MOST

    run(scenario)


def test_a_document_is_bounded_more_narrowly_than_a_photo(http):
    reply = http.post("/v1/identify", content=b" " * 1024 * 1025, headers={"Content-Type": "application/json"})

    assert reply.json()["error"]["reason"] == "BODY_TOO_LARGE"


def test_a_body_that_comes_too_slowly_is_refused(web_serving):
    async def scenario():
        async with web_serving(web={"max_body_s": 0.2}) as served, connected(served) as (reader, writer):
            writer.write(head("Content-Length: 100") + b"x")
            status, body = await read_reply(reader)
            assert (status, body["error"]["reason"]) == (408, "BODY_TOO_SLOW")
            assert await reader.read() == b""

    run(scenario)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/identify HTTP/1.1\r\nHost: lo"])
def test_a_connection_without_a_whole_head_is_ended(web_serving, sent):
    async def scenario():
        async with web_serving(web={"max_header_s": 0.2}) as served, connected(served) as (reader, writer):
            writer.write(sent)
            assert await read_end(reader) == b""

    run(scenario)


def test_a_second_head_that_stays_half_ends_its_connection_too(web_serving):
    async def scenario():
        async with web_serving(web={"max_header_s": 0.2}) as served, connected(served) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_reply(reader))[0] == 200
            writer.write(b"GET /healthz HT")
            assert await read_end(reader) == b""

    run(scenario)


def test_an_idle_connection_is_closed(web_serving):
    async def scenario():
        async with web_serving(web={"max_idle_s": 1}) as served, connected(served) as (reader, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_reply(reader))[0] == 200
            assert await reader.read() == b""

    run(scenario)


def list_callers():
    """The ports that connections of this process lead to."""
    return {one.raddr.port for one in psutil.Process().net_connections("tcp") if one.raddr}


def test_who_takes_no_answer_is_cut_off(web_serving):
    # Answers of megabytes that fill the system's buffers of both sides.
    asked = b"GET /v1/entries?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000

    async def scenario():
        async with web_serving(web={"max_idle_s": 0.5}) as served:
            host, _, port = served.url.removeprefix("http://").rpartition(":")
            with socket.create_connection((host, int(port))) as connection:
                # Its own system doesn't always tell the caller, whose buffers are full.
                own = connection.getsockname()[1]
                sending = asyncio.create_task(asyncio.to_thread(connection.sendall, asked))
                await until(lambda: own in list_callers())
                await until(lambda: own not in list_callers())
            await asyncio.wait({sending})

    run(scenario)


def test_one_connection_too_many_is_cut_off_and_the_others_go_on(web_serving):
    async def scenario():
        async with (
            web_serving(web={"max_connections": 2}) as served,
            connected(served) as first,
            connected(served) as second,
        ):
            for reader, writer in (first, second):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await read_reply(reader))[0] == 200
            async with connected(served) as (reader, writer):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await read_end(reader) == b""
            first[1].write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await read_reply(first[0]))[0] == 200

    run(scenario)


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000]
)
def test_what_is_no_request_is_refused_as_json(web_serving, sent):
    async def scenario():
        async with web_serving() as served, connected(served) as (reader, writer):
            writer.write(sent)
            status, body = await read_reply(reader)
            assert (status, body["error"]["reason"]) == (400, "MALFORMED_REQUEST")

    run(scenario)


def test_nothing_of_a_photo_is_written_to_a_disk(web_serving, photo, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    opened = []

    def refuse(*arguments, **options):
        opened.append(arguments)
        raise AssertionError(arguments, options)

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)

    async def scenario():
        async with web_serving() as served, httpx.AsyncClient(base_url=served.url, timeout=60) as http:
            large = photo + b"\0" * 5_000_000
            reply = await http.post("/v1/identify", files={"photo": ("bee.jpg", large, "image/jpeg")})
            assert reply.status_code == 200

    run(scenario)
    assert not opened
    assert not list(tmp_path.iterdir())
