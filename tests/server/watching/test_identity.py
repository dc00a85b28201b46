"""Request ids: who gives them, where they come back, and what works and calls end with."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import status_pb2
from tests.server.scenarios import run

from beedex.server.calls.status import STATUS_KEY, StatusInterceptor
from beedex.server.calls.traffic import UNKNOWN_METHOD, TrafficWatch
from beedex.server.calls.work import Call, Work
from beedex.server.errors import EntryNotFoundError
from beedex.server.watching.identity import REQUEST_ID_KEY, identify_call

OK, ABORTED, CANCELLED = grpc.StatusCode.OK, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED
DEADLINE_EXCEEDED, NOT_FOUND = grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.NOT_FOUND


@dataclass
class Notes:
    """A listener that writes down what it is told."""

    works: list[Work] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end_work(self, work: Work) -> None:
        self.works.append(work)

    def end_call(self, call: Call) -> None:
        self.calls.append(call)
        self.ended.set()


class Faulty:
    """A listener that fails."""

    def end_work(self, _work: Work) -> None:
        raise ZeroDivisionError

    def end_call(self, _call: Call) -> None:
        raise ZeroDivisionError


class Methods(grpc.GenericRpcHandler):
    """/t/answer, /t/refuse, /t/abort, /t/hang and the streams /t/echo, /t/stall and /t/end; messages are bytes."""

    def __init__(self, traffic: TrafficWatch) -> None:
        self._traffic = traffic

    def service(self, handler_call_details):
        name = handler_call_details.method.removeprefix("/t/")
        unary = {"answer": self._answer, "refuse": self._refuse, "abort": self._abort, "hang": self._hang}
        if name in unary:
            return grpc.unary_unary_rpc_method_handler(unary[name], request_deserializer=bytes)
        streams = {"echo": self._echo, "stall": self._stall, "end": self._end}
        if name in streams:
            return grpc.stream_stream_rpc_method_handler(streams[name], request_deserializer=bytes)
        return None

    async def _answer(self, request, _context):
        return request

    async def _refuse(self, _request, _context):
        raise EntryNotFoundError("no such entry", reason="ENTRY_NOT_FOUND")

    async def _abort(self, _request, context):
        await context.abort(grpc.StatusCode.ABORTED, "by somebody who knows nothing of works")

    async def _hang(self, _request, _context):
        await asyncio.Event().wait()

    async def _echo(self, requests, _context):
        async for request in requests:
            with self._traffic.attend("/t/echo"):
                yield request

    async def _stall(self, requests, _context):
        async for request in requests:
            with self._traffic.attend("/t/stall"):
                yield request
                await asyncio.Event().wait()

    async def _end(self, _requests, _context):
        raise EntryNotFoundError("no such entry", reason="ENTRY_NOT_FOUND")
        yield b""


@asynccontextmanager
async def connect(*listeners):
    traffic = TrafficWatch(listeners=listeners)
    server = grpc.aio.server(interceptors=[traffic, StatusInterceptor()])
    server.add_generic_rpc_handlers((Methods(traffic),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, traffic
    finally:
        await server.stop(None)


async def call(channel, method, *, request_id=None, timeout_s=None):
    """The code and the trailing metadata of a unary call."""
    metadata = () if request_id is None else ((REQUEST_ID_KEY, request_id),)
    asked = channel.unary_unary(method)(b"x", metadata=metadata, timeout=timeout_s)
    with suppress(grpc.aio.AioRpcError):
        await asked
    return await asked.code(), dict(await asked.trailing_metadata())


def test_a_callers_request_id_comes_back_with_an_answer_and_with_every_error():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            for method in ("/t/answer", "/t/refuse", "/t/abort"):
                _, trailing = await call(channel, method, request_id="mine-1")
                assert trailing[REQUEST_ID_KEY] == "mine-1", method

    run(scenario)
    assert [work.request_id for work in notes.works] == ["mine-1"] * 3


def test_an_error_brings_its_details_beside_the_request_id():
    async def scenario():
        async with connect() as (channel, _):
            _, trailing = await call(channel, "/t/refuse", request_id="mine-1")
            return trailing

    trailing = run(scenario)
    assert trailing[REQUEST_ID_KEY] == "mine-1"
    assert status_pb2.Status.FromString(trailing[STATUS_KEY]).message == "no such entry"


def test_calls_without_an_id_get_one_each():
    async def scenario():
        async with connect() as (channel, _):
            return [(await call(channel, "/t/answer"))[1][REQUEST_ID_KEY] for _ in range(20)]

    ids = run(scenario)
    assert len(set(ids)) == 20
    assert all(len(request_id) == 32 for request_id in ids)


@pytest.mark.parametrize("given", ["", " ", "two words", "x" * 129, "tab\there", "line\nbreak", "naïve", "\x7f"])
def test_an_id_that_could_mislead_a_reader_of_the_log_is_replaced(given):
    assert identify_call([(REQUEST_ID_KEY, given)]).request_id != given


@pytest.mark.parametrize("given", ["x", "x" * 128, "0-9:/;{}\"'\\"])
def test_an_id_of_visible_characters_is_kept(given):
    assert identify_call([(REQUEST_ID_KEY, given)]).request_id == given


def test_items_of_a_stream_are_numbered_under_its_id():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            stream = channel.stream_stream("/t/echo")(iter([b"a", b"b"]), metadata=((REQUEST_ID_KEY, "mine"),))
            assert [reply async for reply in stream] == [b"a", b"b"]
            assert dict(await stream.trailing_metadata())[REQUEST_ID_KEY] == "mine"

    run(scenario)
    assert [work.request_id for work in notes.works] == ["mine/1", "mine/2"]
    assert [(call.items, call.code) for call in notes.calls] == [(2, OK)]


def test_works_and_calls_end_with_the_code_that_the_caller_sees():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            for method in ("/t/answer", "/t/refuse", "/t/abort"):
                await call(channel, method)
            assert (await call(channel, "/t/hang", timeout_s=0.05))[0] is DEADLINE_EXCEEDED
            while len(notes.calls) < 4:  # noqa: ASYNC110 - the client is told before the server
                await asyncio.sleep(0.01)

    run(scenario)
    codes = [OK, NOT_FOUND, ABORTED, DEADLINE_EXCEEDED]
    assert [work.code for work in notes.works] == codes
    assert [call.code for call in notes.calls] == codes
    assert [work.reason for work in notes.works] == ["", "ENTRY_NOT_FOUND", "", ""]


@pytest.mark.parametrize("timeout_s", [None, 0.2])
def test_what_is_taken_back_while_it_is_under_way_is_cancelled_or_late(timeout_s):
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, traffic):
            stream = channel.stream_stream("/t/stall")(timeout=timeout_s)
            await stream.write(b"a")
            assert await stream.read() == b"a"
            assert traffic.open_streams["/t/stall"] == 1
            if timeout_s is None:
                stream.cancel()
            await notes.ended.wait()
            assert traffic.open_streams["/t/stall"] == 0

    run(scenario)
    code = CANCELLED if timeout_s is None else DEADLINE_EXCEEDED
    assert [call.code for call in notes.calls] == [code]
    assert [work.code for work in notes.works] == [code]


def test_a_stream_that_waits_for_its_caller_at_its_deadline_is_late():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            stream = channel.stream_stream("/t/echo")(timeout=0.2)
            await stream.write(b"a")
            assert await stream.read() == b"a"
            await notes.ended.wait()

    run(scenario)
    assert [call.code for call in notes.calls] == [DEADLINE_EXCEEDED]
    assert [work.code for work in notes.works] == [OK]


def test_a_stream_that_is_refused_as_a_whole_has_the_reason_itself():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            stream = channel.stream_stream("/t/end")(iter([b"a"]))
            with pytest.raises(grpc.aio.AioRpcError):
                await stream.read()

    run(scenario)
    assert [(call.code, call.reason) for call in notes.calls] == [(NOT_FOUND, "ENTRY_NOT_FOUND")]
    assert notes.works == []


def test_methods_that_are_made_up_are_one():
    notes = Notes()

    async def scenario():
        async with connect(notes) as (channel, _):
            for number in range(3):
                code, _ = await call(channel, f"/t/made-up-{number}")
                assert code is grpc.StatusCode.UNIMPLEMENTED

    run(scenario)
    assert {(call.method, call.code) for call in notes.calls} == {(UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED)}
    assert notes.works == []


def test_a_listener_that_fails_fails_no_request_and_is_told_of(caplog):
    notes = Notes()

    async def scenario():
        async with connect(Faulty(), notes) as (channel, _):
            assert (await call(channel, "/t/answer"))[0] is OK

    run(scenario)
    assert len(notes.works) == len(notes.calls) == 1
    assert [record.getMessage() for record in caplog.records] == ["what watches the server failed: Faulty"] * 2
