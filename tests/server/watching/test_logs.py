"""The log: what a line has, in both formats, and what it never has."""

import io
import json
import logging
from typing import Any

import grpc
import pytest
from tests.server.scenarios import run

from beedex.server.config import AccessConfig, LogFormat, LogLevel, WatchConfig
from beedex.server.engine import open_engine
from beedex.server.watching.identity import REQUEST_ID_KEY
from beedex.server.watching.logs import configure_logs
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

# Typed as if every channel were a blocking one, where nothing is known of the channel.
SearchStub: Any = search_pb2_grpc.SearchServiceStub

IDENTIFY = "/beedex.v1.SearchService/Identify"


@pytest.fixture
def write_logs():
    """Configures the log as a server's process does, into a text that can be read; undone afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("beedex")
    before = root.handlers[:], root.level, ours.level
    # pytest's own handlers would be closed.
    root.handlers[:] = []

    def configure(log_format=LogFormat.JSON, log_level=LogLevel.INFO):
        text = io.StringIO()
        configure_logs(WatchConfig(log_format=log_format, log_level=log_level), text)
        return text

    yield configure
    root.handlers[:], root.level, ours.level = before


def read_lines(text):
    return [json.loads(line) for line in text.getvalue().splitlines()]


async def identify(server, photo, request_id="mine-1"):
    """Ask; returns the code."""
    request = search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo))
    async with server.connect() as channel:
        asked = SearchStub(channel).Identify(
            request, metadata=((REQUEST_ID_KEY, request_id), ("authorization", "Bearer beedex_secret"))
        )
        try:
            await asked
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_line_for_machines_has_what_there_is_to_know_of_a_request(watched, photos, write_logs):
    text = write_logs(log_level=LogLevel.DEBUG)

    async def scenario():
        async with watched() as server:
            await identify(server, photos[0])

    run(scenario)
    (line,) = (line for line in read_lines(text) if line["event"] == "request")
    assert set(line) == {
        *("level", "logger", "event", "time", "request_id", "method", "code", "duration_s"),
        *("stages_s", "peer", "snapshot"),
    }
    assert (line["level"], line["logger"]) == ("DEBUG", "beedex.server.requests")
    assert (line["request_id"], line["method"], line["code"], line["snapshot"]) == ("mine-1", IDENTIFY, "OK", 1)
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert set(line["stages_s"]) == {"queue", "decode", "inference", "search"}
    assert 0 < sum(line["stages_s"].values()) <= line["duration_s"]


def test_by_default_only_requests_that_are_not_answered_have_a_line(watched, photos, write_logs):
    text = write_logs()

    async def scenario():
        async with watched() as server:
            await identify(server, photos[0], "good")
            await identify(server, b"no photo", "bad")

    run(scenario)
    (line,) = (line for line in read_lines(text) if line["event"] == "request")
    assert (line["level"], line["request_id"]) == ("INFO", "bad")
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "NOT_A_PHOTO")


def test_a_line_for_people_has_the_same(watched, write_logs):
    text = write_logs(LogFormat.TEXT)

    async def scenario():
        async with watched() as server:
            await identify(server, b"no photo")

    run(scenario)
    (line,) = (line for line in text.getvalue().splitlines() if "beedex.server.requests" in line)
    _, _, rest = line.partition(" INFO beedex.server.requests: request ")
    fields = dict(part.split("=", 1) for part in rest.split(" "))
    assert fields.pop("duration_s")
    assert fields.pop("stages_s")
    assert fields.pop("peer").startswith("ipv4:127.0.0.1:")
    expected = {"request_id": "mine-1", "method": IDENTIFY, "code": "INVALID_ARGUMENT", "reason": "NOT_A_PHOTO"}
    assert fields == {**expected, "snapshot": "1"}


def test_what_is_logged_during_a_request_names_it_with_its_traceback_in_one_line(watched, photos, write_logs):
    text = write_logs()

    def load(config):
        engine = open_engine(config)
        # Nothing foresees that.
        engine.decoder.close()
        return engine

    async def scenario():
        async with watched(load=load) as server:
            assert await identify(server, photos[0]) is grpc.StatusCode.INTERNAL

    run(scenario)
    fault = next(line for line in read_lines(text) if line["level"] == "ERROR")
    assert fault["request_id"] == "mine-1"
    assert "Traceback" in fault["exception"]


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_line_has_a_token_or_a_photo(watched, photos, write_logs, tmp_path, log_format):
    text = write_logs(log_format, LogLevel.DEBUG)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"bob reader {'0' * 64}\n")
    tokens.chmod(0o600)
    photo = photos[0] + b"hidden in the photo"

    async def scenario():
        async with watched() as server:
            await identify(server, photo)
            await identify(server, b"hidden in what is no photo")
        async with watched(access=AccessConfig(tokens=tokens)) as server:
            assert await identify(server, photo) is grpc.StatusCode.UNAUTHENTICATED

    run(scenario)
    assert "mine-1" in text.getvalue()
    assert "secret" not in text.getvalue()
    assert "hidden" not in text.getvalue()


def test_libraries_are_heard_when_something_is_wrong(write_logs):
    text = write_logs(log_level=LogLevel.DEBUG)
    for name in ("somebody.elses", "beedex.server.any"):
        logging.getLogger(name).info("an info of %s", name)
        logging.getLogger(name).warning("a warning of %s", name)
    assert [(line["level"], line["event"]) for line in read_lines(text)] == [
        ("WARNING", "a warning of somebody.elses"),
        ("INFO", "an info of beedex.server.any"),
        ("WARNING", "a warning of beedex.server.any"),
    ]
