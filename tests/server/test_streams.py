"""Streams without a wire: the test is the caller, decides when an item is done, and what time it is."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from beedex.server.calls.streams import Streams
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import LimitsConfig
from beedex.server.errors import (
    DrainingError,
    EntryNotFoundError,
    IdleError,
    InvalidRequestError,
    StreamLimitError,
)

METHOD = "/beedex.v1.EmbeddingService/EmbedStream"
END = None


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which nobody waits: when nothing else can be done, it is the next timer's time."""

    def __init__(self):
        super().__init__()
        self.now_s = 0.0

    def time(self):
        return self.now_s

    def _run_once(self):
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]  # the loop's own lists
            self.now_s = max(self.now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(scenario) -> Any:
    """Run it to its end, which must leave no task."""

    async def run_alone():
        result = await scenario()
        await settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(run_alone())


async def settle():
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Item:
    correlation_id: str
    request: Any


@dataclass(frozen=True)
class Reply:
    correlation_id: str
    result: Any = None
    error: Any = None

    @property
    def reason(self):
        info = error_details_pb2.ErrorInfo()
        self.error.details[0].Unpack(info)
        return info.reason


class Caller:
    """One stream and what its caller does."""

    def __init__(self, streams, *, answer=None):
        self.sent: asyncio.Queue[Item | None] = asyncio.Queue()
        self.read: list[str] = []
        self.futures: dict[str, asyncio.Future[Any]] = {}
        self.received: list[Reply] = []
        self.task = asyncio.create_task(self._receive(streams, answer or self._hold))

    async def _hold(self, request):
        self.futures[request] = asyncio.get_running_loop().create_future()
        return await self.futures[request]

    async def _items(self) -> AsyncIterator[Item]:
        while (item := await self.sent.get()) is not None:
            self.read.append(item.correlation_id)
            yield item

    async def _receive(self, streams, answer):
        async with aclosing(streams.answer(METHOD, self._items(), answer, Reply)) as replies:
            async for reply in replies:
                self.received.append(reply)

    async def send(self, *names):
        for name in names:
            self.sent.put_nowait(END if name is END else Item(name, name))
        await settle()

    async def finish(self, name):
        self.futures[name].set_result(f"vector of {name}")
        await settle()

    @property
    def answered(self):
        return [reply.correlation_id for reply in self.received]


def open_streams(*, listeners=(), **limits):
    traffic = TrafficWatch(listeners=listeners)
    return Streams(LimitsConfig(**limits), traffic), traffic


async def echo(request):
    return request


def test_each_item_is_answered_when_it_is_done_with_its_correlation_id():
    async def scenario():
        caller = Caller(open_streams()[0])
        await caller.send("a", "b", "c", END)
        for name in ("b", "c"):
            await caller.finish(name)
        before = list(caller.received)
        await caller.finish("a")
        await caller.task
        return before, caller.received[-1]

    before, last = run(scenario)

    assert before == [Reply("b", "vector of b"), Reply("c", "vector of c")]
    assert last == Reply("a", "vector of a")


def test_an_item_that_fails_is_answered_with_its_status_and_the_stream_goes_on(caplog):
    async def answer(request):
        if request == "unknown":
            raise EntryNotFoundError("no such entry", reason="ENTRY_NOT_FOUND")
        if request == "broken":
            raise ZeroDivisionError("a secret of the inside")
        return request

    async def scenario():
        caller = Caller(open_streams()[0], answer=answer)
        await caller.send("unknown", "broken", "good", END)
        await caller.task
        return {reply.correlation_id: reply for reply in caller.received}

    with caplog.at_level(logging.ERROR):
        replies = run(scenario)

    assert replies["good"].result == "good"
    assert (replies["unknown"].error.code, replies["unknown"].reason) == (5, "ENTRY_NOT_FOUND")
    assert (replies["broken"].error.code, replies["broken"].reason) == (13, "INTERNAL_ERROR")
    assert "secret" not in replies["broken"].error.message
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_no_more_items_are_read_than_the_window_has_places():
    async def scenario():
        caller = Caller(open_streams(stream_window=2)[0])
        await caller.send("a", "b", "c", "d", END)
        at_first = list(caller.read)
        await caller.finish("b")
        then = list(caller.read)
        for name in ("a", "c", "d"):
            await caller.finish(name)
        await caller.task
        return at_first, then

    assert run(scenario) == (["a", "b"], ["a", "b", "c"])


def test_an_answer_that_is_not_taken_keeps_its_place_in_the_window():
    async def scenario():
        streams, _ = open_streams(stream_window=2)
        sent = [Item(name, name) for name in "abcd"]
        read = []

        async def items():
            for item in sent:
                read.append(item.correlation_id)
                yield item

        async with aclosing(streams.answer(METHOD, items(), echo, Reply)) as replies:
            await anext(replies)
            await settle()
            before = list(read)
            await anext(replies)
            await settle()
            return before, list(read)

    assert run(scenario) == (["a", "b"], ["a", "b", "c"])


def test_a_stream_that_is_too_long_ends_after_what_was_read_is_answered():
    async def scenario():
        caller = Caller(open_streams(max_stream_items=2)[0])
        await caller.send("a", "b", "c")
        for name in ("a", "b"):
            await caller.finish(name)
        with pytest.raises(StreamLimitError) as caught:
            await caller.task
        return caller.answered, caught.value

    answered, error = run(scenario)

    assert answered == ["a", "b"]
    assert (error.reason, error.retry_after_s) == ("STREAM_TOO_LONG", None)


def test_one_stream_too_many_is_refused_until_another_ends():
    async def scenario():
        streams, _ = open_streams(max_streams=2)
        first, second = Caller(streams), Caller(streams)
        await settle()
        refused = Caller(streams)
        with pytest.raises(StreamLimitError) as caught:
            await refused.task
        await first.send(END)
        await first.task
        fourth = Caller(streams, answer=echo)
        await fourth.send("a", END)
        await fourth.task
        await second.send(END)
        await second.task
        return caught.value, refused.read, fourth.answered

    error, read, answered = run(scenario)

    assert error.reason == "TOO_MANY_STREAMS"
    assert error.retry_after_s is not None
    assert error.retry_after_s > 0
    assert (read, answered) == ([], ["a"])


def test_a_caller_who_sends_nothing_is_sent_away_after_the_idle_time():
    async def scenario():
        loop = asyncio.get_running_loop()
        caller = Caller(open_streams(max_idle_s=60)[0], answer=echo)
        await asyncio.sleep(59)
        await caller.send("a")
        with pytest.raises(IdleError) as caught:
            await caller.task
        return loop.time(), caller.answered, caught.value.reason

    assert run(scenario) == (59 + 60, ["a"], "STREAM_IDLE")


def test_a_caller_who_waits_for_an_answer_is_not_idle():
    async def scenario():
        loop = asyncio.get_running_loop()
        caller = Caller(open_streams(max_idle_s=60)[0])
        await caller.send("a")
        await asyncio.sleep(1000)
        await caller.finish("a")
        with pytest.raises(IdleError):
            await caller.task
        return loop.time(), caller.answered

    assert run(scenario) == (1000 + 60, ["a"])


@pytest.mark.parametrize("name", ["x" * 128, "ü" * 64])
def test_a_correlation_id_may_have_128_bytes(name):
    async def scenario():
        caller = Caller(open_streams()[0], answer=echo)
        await caller.send(name, END)
        await caller.task
        return caller.answered

    assert run(scenario) == [name]


@pytest.mark.parametrize("name", ["x" * 129, "ü" * 65])
def test_a_longer_correlation_id_ends_the_stream_after_what_was_read_is_answered(name):
    async def scenario():
        caller = Caller(open_streams()[0])
        await caller.send("a", name, "b")
        await caller.finish("a")
        with pytest.raises(InvalidRequestError) as caught:
            await caller.task
        return caller.answered, caught.value.reason, caught.value.field

    assert run(scenario) == (["a"], "CORRELATION_ID_TOO_LONG", "correlation_id")


def test_a_server_that_goes_down_reads_no_further_and_answers_what_it_read():
    async def scenario():
        streams, traffic = open_streams()
        caller = Caller(streams)
        await caller.send("a", "b")
        traffic.draining.set()
        await settle()
        await caller.send("c")
        for name in ("b", "a"):
            await caller.finish(name)
        with pytest.raises(DrainingError) as caught:
            await caller.task
        return caller.read, caller.answered, caught.value

    read, answered, error = run(scenario)

    assert (read, answered) == (["a", "b"], ["b", "a"])
    assert error.reason == "DRAINING"
    assert error.retry_after_s is not None
    assert error.retry_after_s > 0


def test_a_stream_that_comes_to_a_server_that_goes_down_ends_at_once():
    async def scenario():
        streams, traffic = open_streams()
        traffic.draining.set()
        caller = Caller(streams)
        with pytest.raises(DrainingError):
            await caller.task
        return caller.received

    assert run(scenario) == []


class Recorder:
    def __init__(self):
        self.works = []

    def end_work(self, work):
        self.works.append(work)

    def end_call(self, call):
        raise AssertionError(call)


def test_each_item_is_a_work_of_its_own():
    async def answer(request):
        if request == "b":
            raise EntryNotFoundError("no such entry", reason="ENTRY_NOT_FOUND")
        return request

    async def scenario():
        recorder = Recorder()
        caller = Caller(open_streams(listeners=[recorder])[0], answer=answer)
        await caller.send("a", "b", END)
        await caller.task
        return [(work.method, work.code, work.reason) for work in recorder.works]

    assert run(scenario) == [
        (METHOD, grpc.StatusCode.OK, ""),
        (METHOD, grpc.StatusCode.NOT_FOUND, "ENTRY_NOT_FOUND"),
    ]


def test_a_caller_who_goes_away_takes_the_items_along():
    async def scenario():
        recorder = Recorder()
        streams, traffic = open_streams(listeners=[recorder], max_streams=1)
        caller = Caller(streams)
        await caller.send("a", "b")
        caller.task.cancel()
        await asyncio.wait({caller.task})
        await traffic.wait_for_present()
        cancelled = [future.cancelled() for future in caller.futures.values()]
        following = Caller(streams, answer=echo)
        await following.send("c", END)
        await following.task
        return cancelled, [work.code for work in recorder.works], following.answered

    cancelled, codes, answered = run(scenario)

    assert cancelled == [True, True]
    assert codes == [grpc.StatusCode.CANCELLED, grpc.StatusCode.CANCELLED, grpc.StatusCode.OK]
    assert answered == ["c"]


def test_what_the_wire_raises_ends_the_stream_after_what_was_read_is_answered():
    async def scenario():
        streams, _ = open_streams()
        received = {}

        async def items():
            yield Item("a", "a")
            raise InvalidRequestError("no message", reason="MALFORMED_MESSAGE")

        async def receive():
            async with aclosing(streams.answer(METHOD, items(), echo, Reply)) as replies:
                async for reply in replies:
                    received[reply.correlation_id] = reply.result

        with pytest.raises(InvalidRequestError, match="no message"):
            await receive()
        return received

    assert run(scenario) == {"a": "a"}
