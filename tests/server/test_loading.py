"""What is loaded beside the requests gives way to them."""

import asyncio
import os
import sys
import threading
from contextvars import ContextVar
from pathlib import Path

import psutil
import pytest

from beedex.index.embedder import Embedder
from beedex.server.upkeep.loading import NICENESS, LoadingThread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="niceness is the whole process's elsewhere")


def read_niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_the_thread_and_a_network_that_is_opened_on_it_give_way_and_nothing_else_does(tiny_bundle: Path) -> None:
    own, process = read_niceness(), psutil.Process()
    before = {thread.id for thread in process.threads()}

    async def scenario() -> tuple[int, dict[int, int]]:
        thread = LoadingThread()
        embedder = await thread.run(Embedder.load, tiny_bundle)
        niceness = {
            each.id: os.getpriority(os.PRIO_PROCESS, each.id) for each in process.threads() if each.id not in before
        }
        embedder.close()
        said = await thread.run(read_niceness)
        thread.close()
        return said, niceness

    said, niceness = asyncio.run(scenario())

    assert said == own + NICENESS
    assert len(niceness) >= 1 + 1
    assert set(niceness.values()) == {own + NICENESS}
    assert read_niceness() == own


def test_things_are_done_one_after_the_other_in_their_callers_context_and_go_on_without_them() -> None:
    name: ContextVar[str] = ContextVar("name")
    begun, may_end, done = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        begun.set()
        may_end.wait()
        done.append(name.get())

    async def call(thread: LoadingThread, caller: str) -> None:
        name.set(caller)
        await thread.run(work)

    async def scenario() -> None:
        thread = LoadingThread()
        first = asyncio.create_task(call(thread, "first"))
        await asyncio.to_thread(begun.wait)
        second = asyncio.create_task(call(thread, "second"))
        first.cancel()
        may_end.set()
        await second
        assert done == ["first", "second"]
        thread.close()

    asyncio.run(scenario())
