"""What is worked out once for each state of an index: one state at a time, and none that nobody asks about any more."""

import asyncio
import threading

from tests.server.scenarios import run

from beedex.index.searcher import Searcher
from beedex.server.upkeep.loading import LoadingThread
from beedex.server.web.directory import OncePerSearcher


def test_whoever_asks_about_another_searcher_waits_and_leaves_no_work_behind(tiny_index):
    first, other, last = (Searcher.open(tiny_index) for _ in range(3))
    gate, seen = threading.Event(), []

    def work_out(searcher):
        gate.wait()
        seen.append(searcher)
        return searcher

    async def scenario():
        thread = LoadingThread()
        kept = OncePerSearcher(work_out, thread)
        working, leaving, staying = (asyncio.create_task(kept.get(one)) for one in (first, other, last))
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait({leaving})
        finally:
            gate.set()
        assert await working is first
        assert await staying is last
        assert await kept.get(last) is last
        await asyncio.to_thread(thread.close)

    run(scenario)
    assert seen == [first, last]
